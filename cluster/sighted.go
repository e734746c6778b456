package cluster

import (
	"slices"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/cluster/pledge"
	"github.com/holdfast-cluster/holdfast/placement"
)

// sightedBytesMax bounds the names of a server that is remembered: a node id, an
// instance, and the longest name of a host with a port. entryCalls of them fit
// into a call, even if each byte of theirs is escaped.
const sightedBytesMax = placement.NodeIDMax + 36 + 253 + len(":65535")

// sighted is a server that was heard of on the way into a cluster, and when.
type sighted struct {
	server pledge.Server
	at     time.Time
}

// sighted notes who spoke to this node, and whom that one has heard.
func (e *entry) sighted(from pledge.Server, cluster string, known []pledge.Server) {
	now := time.Now()
	if cluster == e.node.cfg.Cluster {
		e.remember(e.direct, from, now)
	}
	for _, s := range known[:min(len(known), entryCalls)] {
		e.remember(e.told, s, now)
	}
}

// remember notes a server, unless there are too many new ones to be true, or its
// names are too long: all that are passed on must fit into one call.
func (e *entry) remember(seen map[string]sighted, s pledge.Server, now time.Time) {
	if len(s.NodeID)+len(s.Instance)+len(s.Address) > sightedBytesMax {
		return
	}
	if _, known := seen[s.Instance]; s.Instance != e.self.Instance && (known || len(seen) < entrySeen) {
		seen[s.Instance] = sighted{s, now}
	}
}

// heardMyself lists some of the servers that spoke to this node a short time
// ago, as many as are taken note of.
func (e *entry) heardMyself(now time.Time) []pledge.Server {
	heard := freshest(e.direct, now)
	return heard[:min(len(heard), entryCalls)]
}

// servers lists the servers that are known to be there.
func (e *entry) servers(now time.Time) []pledge.Server {
	all := freshest(e.direct, now)
	for _, s := range freshest(e.told, now) {
		if _, ok := e.direct[s.Instance]; !ok {
			all = append(all, s)
		}
	}
	return all
}

// freshest lists what was sighted lately, sorted, and forgets the rest.
func freshest(seen map[string]sighted, now time.Time) []pledge.Server {
	var list []pledge.Server
	for instance, s := range seen {
		if now.Sub(s.at) > entryFresh {
			delete(seen, instance)
			continue
		}
		list = append(list, s.server)
	}
	slices.SortFunc(list, func(a, b pledge.Server) int { return strings.Compare(a.Instance, b.Instance) })
	return list
}
