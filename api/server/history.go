package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// Inputs of the routes about moves and decisions.
type (
	movesRead struct {
		ReadParams
		PageParams
	}
	decisionsRead struct {
		ReadParams
		PageParams
		Chain string `query:"chain"`
		Node  string `query:"node" doc:"as from or to"`
		Cause string `query:"cause" doc:"forced, repair, drain, constraint, excess or balance"`
	}
)

func (s *Server) addHistoryRoutes() {
	handle(s, route{method: http.MethodGet, path: "/v1/moves", id: "list-moves", summary: "List the open moves", kind: read}, s.getMoves)
	handle(s, route{method: http.MethodGet, path: "/v1/decisions", id: "list-decisions", summary: "List decisions, newest first", kind: read}, s.getDecisions)
	handle(s, route{method: http.MethodGet, path: "/v1/chains/{id}/explain", id: "explain-chain", summary: "What the scheduler would do with a chain now, and why", kind: leaderOnly}, s.explain)
}

func (s *Server) getMoves(ctx context.Context, in *movesRead) (*api.MoveList, error) {
	limit, err := pageLimit(in.Limit)
	if err != nil {
		return nil, err
	}
	after, err := number("after", in.After)
	if err != nil {
		return nil, err
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	out := &api.MoveList{Moves: []api.Move{}}
	for _, id := range s.tally.moves(v) {
		c := v.Chain(id)
		if c == nil {
			continue // the tally has seen more than this view
		}
		for i := range c.Moves {
			if m := &c.Moves[i]; uint64(m.ID) > after {
				out.Moves = append(out.Moves, renderMove(id, m))
			}
		}
	}
	slices.SortFunc(out.Moves, func(a, b api.Move) int { return cmp.Compare(a.ID, b.ID) })
	if len(out.Moves) > limit {
		out.Moves = out.Moves[:limit]
		out.Next = api.NullString(strconv.FormatUint(out.Moves[limit-1].ID, 10))
	}
	return out, nil
}

func (s *Server) getDecisions(ctx context.Context, in *decisionsRead) (*api.DecisionList, error) {
	limit, err := pageLimit(in.Limit)
	if err != nil {
		return nil, err
	}
	before, err := number("after", in.After)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	out := &api.DecisionList{Decisions: []api.Decision{}}
	v.Decisions(placement.Revision(before), func(r *placement.Record) bool {
		if !in.wants(&r.Decision) {
			return true
		}
		if len(out.Decisions) == limit {
			out.Next = api.NullString(strconv.FormatUint(out.Decisions[limit-1].Revision, 10))
			return false
		}
		out.Decisions = append(out.Decisions, renderDecision(r))
		return true
	})
	return out, nil
}

// check refuses conditions that nothing can meet.
func (d *decisionsRead) check() error {
	if d.Chain != "" {
		if _, err := chainID("chain", d.Chain); err != nil {
			return err
		}
	}
	if d.Node != "" {
		if _, err := nodeID("node", d.Node); err != nil {
			return err
		}
	}
	switch placement.Cause(d.Cause) {
	case "", placement.CauseForced, placement.CauseRepair, placement.CauseDrain,
		placement.CauseConstraint, placement.CauseExcess, placement.CauseBalance:
		return nil
	}
	return api.InvalidField("cause", "cause: %.40q is none of forced, repair, drain, constraint, excess, balance", d.Cause)
}

func (d *decisionsRead) wants(r *placement.Decision) bool {
	return (d.Chain == "" || d.Chain == string(r.Chain)) &&
		(d.Node == "" || d.Node == string(r.From) || d.Node == string(r.To)) &&
		(d.Cause == "" || d.Cause == string(r.Cause))
}

func (s *Server) explain(ctx context.Context, in *chainRead) (*api.Explanation, error) {
	v, c, err := s.chainOr404(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	e, _ := scheduler.Explain(s.cfg.Decider.DecideInput(v), c.ID)
	if v.Missing(c) > 0 && !slices.ContainsFunc(e.Candidates, func(st scheduler.Standing) bool { return st.Eligible }) {
		for _, o := range v.WhyUnplaceable(c) {
			e.WouldChange = append(e.WouldChange, fmt.Sprintf("this ceases to be so for one of %d nodes (such as %s): %s", o.Nodes, o.Examples[0], o.Why))
		}
	}
	return &api.Explanation{
		Chain: string(e.Chain), Action: string(e.Action), Cause: api.NullString(e.Cause), Text: e.Text,
		Gates: list(e.Gates, func(g scheduler.Gate) api.Gate {
			return api.Gate{Name: g.Name, Pass: g.Pass, Value: api.NullString(g.Value), Limit: api.NullString(g.Limit)}
		}),
		Holders: list(e.Holders, renderStanding), Candidates: list(e.Candidates, renderStanding),
		WouldChange: texts(e.WouldChange),
	}, nil
}

func renderStanding(st scheduler.Standing) api.Candidate {
	return api.Candidate{
		Node: string(st.Node), Eligible: st.Eligible, Code: api.NullString(st.Code),
		Score: renderScore(st.Score), Limiting: api.NullString(st.Limiting),
		Axes: list(st.Axes, func(a scheduler.Axis) api.Axis {
			return api.Axis{Name: a.Name, Value: new(a.Value), Input: api.NullString(a.Input)}
		}),
	}
}
