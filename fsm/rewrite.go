package fsm

import (
	"fmt"
	"io"

	"github.com/tidwall/btree"

	"github.com/holdfast-cluster/holdfast/placement"
)

// ReadSnapshot reads the state that a snapshot holds and checks all of it. A
// damaged, foreign or newer snapshot is refused with what is wrong with it.
func ReadSnapshot(in io.Reader) (*View, error) {
	s, err := readSnapshot(in)
	if err != nil {
		return nil, err
	}
	return s.freeze(), nil
}

// Rewrite reads a saved snapshot and writes the one that may be restored over
// present (rule S5): the present cluster's identity and nodes, a new lineage,
// the larger counter and clock, every cooldown begun anew, no copy confirmed,
// no open move, no remembered request, and a guard until every node of the
// present cluster has reported what it really holds. Restoring lies outside
// acked-is-kept and exactly-once.
func Rewrite(saved io.Reader, present *View, lineage string, out io.Writer) error {
	s, err := readSnapshot(saved)
	if err != nil {
		return err
	}
	if lineage == "" || lineage == present.Lineage || lineage == s.lineage {
		return fmt.Errorf("a restore needs a new lineage, not %q", lineage)
	}
	if s.level > present.FeatureLevel {
		return fmt.Errorf("%w: it is of feature level %d, the cluster is at %d; upgrade every server first", errSnapshot, s.level, present.FeatureLevel)
	}
	s.clusterID, s.name, s.lineage = present.ClusterID, present.ClusterName, lineage
	s.level = present.FeatureLevel
	s.rev = max(s.rev, present.Revision)
	s.now = max(s.now, present.Now)
	s.index, s.term = present.Index, present.Term
	s.heartbeat = present.Heartbeat // it belongs to the machines, not to the state that was saved
	s.freezing, s.pause, s.forced = nil, nil, nil
	s.guard = nil
	s.nodes = new(btree.Map[placement.NodeID, *placement.Node])
	present.Nodes.Ascend("", func(id placement.NodeID, old *placement.Node) bool {
		n := *old
		n.Inventoried = false
		s.nodes.Set(id, &n)
		if n.State != placement.NodeLeft { // it will never say
			s.guard = append(s.guard, id)
		}
		return true
	})
	s.requests, s.strays = new(btree.Map[string, *request]), new(btree.Map[string, Stray])
	s.rewriteChains()
	s.configGen = placement.Generation(s.draw())
	_, err = s.freeze().WriteTo(out)
	return err
}

// rewriteChains makes every chain what a restore may believe of it: its
// cooldown begins now, its ready copies wait for confirmation, and what was on
// its way, and where balance had moved copies from, is forgotten.
func (s *state) rewriteChains() {
	var all []*placement.Chain
	s.chains.Scan(func(_ placement.ChainID, c *placement.Chain) bool {
		all = append(all, c)
		return true
	})
	for _, old := range all {
		c := old.Clone()
		c.Moves, c.LastRebalance, c.LastDecision, c.Departed = nil, s.now, 0, nil
		var kept []placement.Holder
		for _, h := range c.Holders {
			if h.Phase == placement.Pulling || s.node(h.Node) == nil {
				continue
			}
			h.Phase, h.Unconfirmed, h.Since = placement.Ready, true, s.now
			kept = append(kept, h)
		}
		c.Holders = kept
		c.Revision = s.draw()
		s.chains.Set(c.ID, c)
	}
}
