package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/holdfast-cluster/holdfast/api/server"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// bridge is a node as the API's handlers want it.
type bridge struct{ node *cluster.Node }

var (
	_ server.State      = bridge{}
	_ server.Writer     = bridge{}
	_ server.Leadership = bridge{}
	_ server.Decider    = bridge{}
	_ server.Telemetry  = bridge{}
)

// View implements server.State.
func (b bridge) View() *fsm.View { return b.node.View() }

// Read implements server.State.
func (b bridge) Read(ctx context.Context, linearizable bool) (*fsm.View, error) {
	level := cluster.FromLeader
	if linearizable {
		level = cluster.Linearizable
	}
	view, err := b.node.Read(ctx, level)
	return view, inServersWords(err)
}

// Propose implements server.Writer.
func (b bridge) Propose(ctx context.Context, ops ...fsm.Op) ([]fsm.Result, error) {
	results, err := b.node.Propose(ctx, ops...)
	return results, inServersWords(err)
}

// Status implements server.Leadership.
func (b bridge) Status() server.Status {
	s := b.node.Status()
	out := server.Status{
		Node: s.Node, IsLeader: s.IsLeader, Term: s.Term, LastContact: max(s.LastContact, 0),
		Voters: s.Voters, Ready: s.Ready,
	}
	if s.Leader != nil {
		l := leader(*s.Leader)
		out.Leader = &l
	}
	return out
}

// WaitLeader implements server.Leadership.
func (b bridge) WaitLeader(ctx context.Context) (server.Leader, error) {
	l, err := b.node.WaitLeader(ctx)
	return leader(l), inServersWords(err)
}

// LeaderChanged implements server.Leadership.
func (b bridge) LeaderChanged() <-chan struct{} { return b.node.LeaderChanged() }

func leader(l cluster.Leader) server.Leader {
	return server.Leader{Node: l.Node, Address: l.Address, HTTP: l.HTTP}
}

// NodeTransport implements server.Leadership.
func (b bridge) NodeTransport() http.RoundTripper { return b.node.NodeTransport() }

// DecideInput implements server.Decider.
func (b bridge) DecideInput(view *fsm.View) scheduler.Input { return b.node.DecideInput(view) }

// Facts implements server.Telemetry.
func (b bridge) Facts() placement.Facts { return b.node.Facts() }

// inServersWords turns a node's error into one that the handlers tell apart.
func inServersWords(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*cluster.NotLeaderError](err); ok {
		return fmt.Errorf("%w: %w", server.ErrNotLeader, err)
	}
	if refused, ok := errors.AsType[*cluster.RefusedError](err); ok {
		return &server.Refusal{Code: refused.Code, Detail: refused.Detail}
	}
	switch {
	case errors.Is(err, cluster.ErrOutcomeUnknown):
		return fmt.Errorf("%w: %w", server.ErrOutcomeUnknown, err)
	case errors.Is(err, cluster.ErrAborted), errors.Is(err, cluster.ErrStopped):
		return fmt.Errorf("%w: %w", server.ErrNotLeader, err) // nothing was done
	}
	return err
}
