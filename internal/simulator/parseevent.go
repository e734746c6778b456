package simulator

import (
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

func (s *Scenario) nodeGroup(name string) *NodeGroup {
	for i := range s.Nodes {
		if s.Nodes[i].Name == name {
			return &s.Nodes[i]
		}
	}
	return nil
}

func (s *Scenario) checkAdd(a *AddNodes) error {
	if a.Like == "" {
		a.Like = s.Nodes[0].Name
	}
	switch {
	case s.nodeGroup(a.Like) == nil:
		return fmt.Errorf("like: there is no group of nodes %q", a.Like)
	case a.Count < 1 || a.Count > nodesMax:
		return fmt.Errorf("count: %d is not within 1..%d", a.Count, nodesMax)
	}
	return nil
}

func (s *Scenario) checkPick(p *Pick) error {
	switch {
	case !p.All && len(p.Nodes) == 0 && p.Group == "" && p.Zone == "" && p.Count == 0:
		return errors.New("all: say which nodes: all, nodes, group, zone or count")
	case p.Group != "" && s.nodeGroup(p.Group) == nil:
		return fmt.Errorf("group: there is no group of nodes %q", p.Group)
	case p.Zone != "" && !s.hasZone(p.Zone):
		return fmt.Errorf("zone: no node is in zone %q", p.Zone)
	case p.Count < 0:
		return fmt.Errorf("count: %d is negative", p.Count)
	}
	return nil
}

func (s *Scenario) hasZone(zone string) bool {
	return slices.Contains(s.Zones, zone) ||
		slices.ContainsFunc(s.Nodes, func(g NodeGroup) bool { return g.Zone == zone })
}

func (s *Scenario) checkDrain(d *Drain) error {
	if d.Then == "" {
		d.Then = thenStay
	}
	if d.Then != thenStay && d.Then != thenUncordon && d.Then != thenRemove {
		return fmt.Errorf("then: %q is none of stay, uncordon, remove", d.Then)
	}
	if d.AtOnce < 0 {
		return fmt.Errorf("at_once: %d is negative", d.AtOnce)
	}
	return s.checkPick(&d.Pick)
}

func (s *Scenario) checkWeight(w *SetWeight) error {
	if w.Weight < 0 || w.Weight > 1 {
		return fmt.Errorf("weight: %v is not within 0..1", w.Weight)
	}
	return s.checkPick(&w.Pick)
}

func checkConfig(keys map[string]any) error {
	_, err := override(placement.DefaultConfig(), keys)
	return err
}

func (s *Scenario) checkDelete(d *DeleteChains) error {
	if d.Count < 0 {
		return fmt.Errorf("count: %d is negative", d.Count)
	}
	known := slices.ContainsFunc(s.Chains, func(g ChainGroup) bool { return g.Name == d.Group })
	for i := range s.Events {
		known = known || s.Events[i].Put != nil && s.Events[i].Put.Name == d.Group
	}
	if !known {
		return fmt.Errorf("group: there is no group of chains %q", d.Group)
	}
	return nil
}
