package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
)

// specValues is the flags of a chain's spec. Only those that are given count.
type specValues struct {
	desired, minReady     int
	size, policy          string
	weight, floor, gap    float64
	labels                []string
	cooldown, repairDelay time.Duration
	require, prefer, near []string
	spread                string
	maxPerZone            int
	antiAffinity          []string
	colocate              []string
}

func specFlags(cmd *cobra.Command) *specValues {
	v := new(specValues)
	f := cmd.Flags()
	f.IntVar(&v.desired, "desired", 3, "live copies wanted, 1 to 9")
	f.IntVar(&v.minReady, "min-ready", 0, "live copies that voluntary drops leave (default: desired)")
	f.StringVar(&v.size, "size", "", "expected bytes of one copy, such as 20GiB")
	f.Float64Var(&v.weight, "weight", 1, "load of one copy beside other chains")
	f.StringArrayVar(&v.labels, "label", nil, "words of yours, KEY=VALUE (repeatable)")
	f.StringVar(&v.policy, "policy", "eager", "how readily balance moves it: eager, lazy or pinned")
	f.Float64Var(&v.floor, "floor", 0, "score below which a holder is moved (default: the cluster's)")
	f.Float64Var(&v.gap, "gap", 0, "by how much another node must be better (default: the cluster's)")
	f.DurationVar(&v.cooldown, "cooldown", 0, "how long balance leaves it alone after a move (default: the cluster's)")
	f.DurationVar(&v.repairDelay, "repair-delay", 0, "how long a copy may be out of reach before it is replaced (default: the cluster's)")
	f.StringArrayVar(&v.require, "require", nil, "what a holder's node must satisfy, such as zone=a, disk!=hdd, '!spot' or 'cores>=8' (repeatable)")
	f.StringArrayVar(&v.prefer, "prefer", nil, "what it should satisfy (repeatable)")
	f.StringVar(&v.spread, "spread", "even", "how copies spread over the zones: even or none")
	f.IntVar(&v.maxPerZone, "max-per-zone", 0, "copies that one zone should hold at most, 1 to 9 (default: as --spread says)")
	f.StringArrayVar(&v.antiAffinity, "anti-affinity", nil, "chains that it should not share a node with: KEY=VALUE of their labels, or chain=ID (repeatable)")
	f.StringArrayVar(&v.colocate, "colocate", nil, "chains that it should share its nodes with, named likewise (repeatable)")
	f.StringArrayVar(&v.near, "near", nil, "nodes that it should be near to by round trip, such as zone=a (repeatable)")
	return v
}

// change puts into a spec what was given on the command line.
func (v *specValues) change(cmd *cobra.Command, spec *api.Spec) error {
	given := cmd.Flags().Changed
	if sum := v.weight + v.floor + v.gap; math.IsNaN(sum) || math.IsInf(sum, 0) { // JSON has no word for it
		return usage("--weight, --floor or --gap: give a finite number")
	}
	if given("desired") {
		spec.Desired = &v.desired
	}
	if given("min-ready") {
		spec.MinReady = &v.minReady
	}
	if given("weight") {
		spec.Weight = &v.weight
	}
	if given("policy") {
		spec.Policy = api.NullString(v.policy)
	}
	if given("floor") {
		spec.Floor = &v.floor
	}
	if given("gap") {
		spec.Gap = &v.gap
	}
	if given("cooldown") {
		spec.Cooldown = (*api.Duration)(&v.cooldown)
	}
	if given("repair-delay") {
		spec.RepairDelay = (*api.Duration)(&v.repairDelay)
	}
	if given("require") {
		spec.Require = v.require
	}
	if given("prefer") {
		spec.Prefer = v.prefer
	}
	v.changePlaces(given, spec)
	if given("size") {
		size, err := parseBytes(v.size)
		if err != nil {
			return usage("--size: %w", err)
		}
		spec.SizeBytes = &size
	}
	if given("label") {
		labels, err := parseLabels(v.labels)
		if err != nil {
			return usage("--label: %w", err)
		}
		spec.Labels = labels
	}
	return nil
}

// changePlaces puts in the wishes about zones and neighbours.
func (v *specValues) changePlaces(given func(string) bool, spec *api.Spec) {
	if given("spread") {
		spec.Spread = api.NullString(v.spread)
	}
	if given("max-per-zone") {
		spec.MaxPerZone = &v.maxPerZone
	}
	if given("anti-affinity") {
		spec.AntiAffinity = v.antiAffinity
	}
	if given("colocate") {
		spec.Colocate = v.colocate
	}
	if given("near") {
		spec.Near = v.near
	}
}

// resetSpec gives keys of a spec back to the cluster.
func resetSpec(spec *api.Spec, keys []string) error {
	for _, key := range keys {
		key = strings.ReplaceAll(key, "-", "_")
		switch key {
		case "desired":
			spec.Desired = nil
		case "min_ready":
			spec.MinReady = nil
		case "size", "size_bytes":
			spec.SizeBytes = nil
		case "weight":
			spec.Weight = nil
		case "label", "labels":
			spec.Labels = nil
		case "policy":
			spec.Policy = ""
		case "floor":
			spec.Floor = nil
		case "gap":
			spec.Gap = nil
		case "cooldown":
			spec.Cooldown = nil
		case "repair_delay":
			spec.RepairDelay = nil
		case "require":
			spec.Require = nil
		case "prefer":
			spec.Prefer = nil
		default:
			if !resetPlaces(spec, key) {
				return usage("--reset: %q is no key of a spec", key)
			}
		}
	}
	return nil
}

func resetPlaces(spec *api.Spec, key string) bool {
	switch key {
	case "spread":
		spec.Spread = ""
	case "max_per_zone":
		spec.MaxPerZone = nil
	case "anti_affinity":
		spec.AntiAffinity = nil
	case "colocate":
		spec.Colocate = nil
	case "near":
		spec.Near = nil
	default:
		return false
	}
	return true
}

// parseLabels reads KEY=VALUE words.
func parseLabels(words []string) (map[string]string, error) {
	m := map[string]string{}
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q is not KEY=VALUE", word)
		}
		if _, twice := m[key]; twice {
			return nil, fmt.Errorf("%s is given twice", key)
		}
		m[key] = value
	}
	return m, nil
}
