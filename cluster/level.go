package cluster

import (
	"context"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// raiseLevel raises the feature level to what every server supports (rule
// S19). The caller holds the lock of the membership: no server of an older build
// comes in meanwhile.
func (r *reign) raiseLevel(ctx context.Context) {
	view := r.node.View()
	level := commonLevel(fsm.Level, view, r.servers())
	if level <= view.FeatureLevel {
		return
	}
	r.node.log.Info("every server supports a higher feature level: raising it", "from", view.FeatureLevel, "to", level)
	op := r.operation("every server supports it", &fsm.RaiseLevel{Level: level})
	for _, result := range r.propose(ctx, r.fenceOf(view), []fsm.Op{op}) {
		if !result.OK() {
			r.node.log.Info("the feature level is not raised", "code", result.Code, "detail", result.Detail)
		}
	}
}

// commonLevel is the highest feature level, up to the one given, that the
// running process of every server, standbys included, has announced. One that is
// down may come back as an older build: nothing is raised without it.
func commonLevel(level int, view *fsm.View, servers []raft.Server) int {
	nodes := nodesByInstance(view)
	for _, s := range servers {
		n := nodes[string(s.ID)]
		if n == nil || n.State != placement.NodeAlive {
			return 0
		}
		level = min(level, n.FeatureLevel)
	}
	return level
}
