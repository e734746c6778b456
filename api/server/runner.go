package server

import (
	"context"
	"net/http"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Inputs of the routes of runners and orphans.
type (
	orphansRead struct {
		IDParam
		ReadParams
		PageParams
	}
	orphanWrite struct {
		IDParam
		WriteParams
		Chain string `path:"chain"`
	}
)

func (s *Server) addRunnerRoutes() {
	handle(s, route{method: http.MethodGet, path: "/v1/nodes/{id}/assignments", id: "get-assignments", summary: "What a node has to hold and to delete", kind: read}, s.getAssignments)
	handle(s, route{method: http.MethodPost, path: "/v1/nodes/{id}/reports", id: "post-reports", summary: "What a node says of its copies", kind: write, body: api.Reports{}}, s.postReports)
	handle(s, route{method: http.MethodGet, path: "/v1/nodes/{id}/orphans", id: "list-orphans", summary: "Copies of chains that the state does not know", kind: read}, s.getOrphans)
	handle(s, route{method: http.MethodDelete, path: "/v1/nodes/{id}/orphans/{chain}", id: "purge-orphan", summary: "Let a node delete such a copy", kind: write, body: api.Act{}}, s.purgeOrphan)
}

// getAssignments waits, if asked, until something changed that concerns the
// node: in a busy cluster the counter never stands still.
func (s *Server) getAssignments(ctx context.Context, in *nodeRead) (*api.Assignments, error) {
	x := exchangeOf(ctx)
	id, err := nodeID("id", in.ID)
	if err != nil {
		return nil, err
	}
	v, err := s.readOnce(ctx, x)
	if err != nil {
		return nil, err
	}
	if x.blocking {
		scanned := placement.Revision(x.revision)
		v = s.await(ctx, x, v, x.revision, func(v *fsm.View) bool {
			if scanned > v.Revision {
				return false
			}
			news := concerns(v, id, scanned)
			scanned = v.Revision
			return news
		})
	}
	s.stamp(x, v)
	if v.Node(id) == nil {
		return nil, unknownNode(id)
	}
	return renderDuties(v, id), nil
}

// concerns tells whether anything after a revision may have changed what a
// node has to do.
func concerns(v *fsm.View, id placement.NodeID, since placement.Revision) bool {
	found := false
	known := v.ChangedSince(since, func(c fsm.Change) bool {
		switch c.Kind {
		case fsm.ChangeChain:
			chain := v.Chain(placement.ChainID(c.ID))
			found = chain == nil || chain.Holder(id) != nil
		case fsm.ChangeNode:
			found = c.ID == string(id)
		case fsm.ChangeConfig:
			found = true // a restore guard or a drop grace may have changed
		default:
		}
		return !found
	})
	return found || !known
}

func renderDuties(v *fsm.View, id placement.NodeID) *api.Assignments {
	d := v.Duties(id)
	return &api.Assignments{
		Lineage: d.Lineage, Incarnation: uint64(d.Incarnation), Revision: uint64(d.Revision), Wanted: d.WantInventory,
		Assignments: list(d.Assignments, func(a fsm.Duty) api.Assignment {
			return api.Assignment{
				Chain: string(a.Chain), Epoch: uint64(a.Epoch), Phase: a.Phase.String(), Content: renderContent(a.Content),
				Sources: list(a.Sources, func(src fsm.Source) api.Source { return renderSource(v, src) }),
				Spec:    renderSpec(&a.Spec), Deadline: api.ClusterTime(a.Deadline), First: a.First,
			}
		}),
		Discard: list(d.Discard, func(c fsm.Discard) api.CopyRef { return api.CopyRef{Chain: string(c.Chain), Epoch: uint64(c.Epoch)} }),
	}
}

// renderSource gives the address of the user's own service where there is
// one: that is what an external runner pulls from.
func renderSource(v *fsm.View, src fsm.Source) api.Source {
	out := api.Source{Node: string(src.Node), Address: src.Address}
	if n := v.Node(src.Node); n != nil && n.Addresses.Service != "" {
		out.Address = n.Addresses.Service
	}
	return out
}

func (s *Server) postReports(ctx context.Context, in *nodeWrite) (*api.ReportAnswer, error) {
	id, err := nodeID("id", in.ID)
	if err != nil {
		return nil, err
	}
	var body api.Reports
	if err := exchangeOf(ctx).decode(&body, false); err != nil {
		return nil, err
	}
	op := &fsm.Report{
		Node: id, Lineage: body.Lineage, Incarnation: placement.Incarnation(body.Incarnation),
		Revision: placement.Revision(body.Revision), Inventory: body.Inventory, NoSpace: body.NoSpace,
	}
	if op.Revision == 0 {
		op.Revision = s.cfg.State.View().Revision
	}
	for i := range body.Reports {
		item, err := readReport(&body.Reports[i])
		if err != nil {
			return nil, api.InvalidField("reports", "reports[%d]: %v", i, err)
		}
		op.Items = append(op.Items, item)
	}
	refused := staleItems(s.cfg.State.View(), op)
	r, err := s.propose(ctx, "", op)
	if err != nil {
		return nil, err
	}
	return &api.ReportAnswer{
		Revision: uint64(r.Revision),
		Copies: list(append(refused, r.Copies...), func(c fsm.CopyAnswer) api.CopyAnswer {
			return api.CopyAnswer{Chain: string(c.Chain), Epoch: uint64(c.Epoch), Verdict: string(c.Verdict)}
		}),
	}, nil
}

// staleItems returns the items of a report that the state will pass over:
// those of a copy that was not, or under another epoch, given to the node. An
// inventory is answered by the state itself.
func staleItems(v *fsm.View, op *fsm.Report) []fsm.CopyAnswer {
	if op.Inventory {
		return nil
	}
	known := map[fsm.Discard]bool{} // copies beside the assignments that may be reported dropped
	v.Strays(op.Node, func(c fsm.Stray) bool {
		known[fsm.Discard{Chain: c.Chain, Epoch: c.Epoch}] = true
		return true
	})
	var out []fsm.CopyAnswer
	for _, item := range op.Items {
		if c := v.Chain(item.Chain); c != nil {
			if h := c.Holder(op.Node); h != nil && h.Epoch == item.Epoch {
				continue
			}
		}
		if item.Phase != fsm.ReportDropped || !known[fsm.Discard{Chain: item.Chain, Epoch: item.Epoch}] {
			out = append(out, fsm.CopyAnswer{Chain: item.Chain, Epoch: item.Epoch, Verdict: fsm.CopyVerdict(api.StaleEpoch)})
		}
	}
	return out
}

func readReport(in *api.Report) (fsm.ReportItem, error) {
	id, err := placement.ParseChainID(in.Chain)
	if err != nil {
		return fsm.ReportItem{}, err //nolint:wrapcheck // it says all
	}
	phase := fsm.ReportPhase(in.Phase)
	switch phase {
	case fsm.ReportPulling, fsm.ReportReady, fsm.ReportFailed, fsm.ReportDropped, fsm.ReportLost:
	default:
		return fsm.ReportItem{}, errorf("phase: %.40q is none of pulling, ready, failed, dropped, lost", in.Phase)
	}
	if in.SizeBytes < 0 || in.BytesDone < 0 || in.BytesTotal < 0 {
		return fsm.ReportItem{}, errorf("a number of bytes is negative")
	}
	return fsm.ReportItem{
		Chain: id, Epoch: placement.Epoch(in.Epoch), Phase: phase, SHA256: string(in.SHA256),
		SizeBytes: in.SizeBytes, BytesDone: in.BytesDone, BytesTotal: in.BytesTotal, Error: string(in.Error),
	}, nil
}

func (s *Server) getOrphans(ctx context.Context, in *orphansRead) (*api.OrphanList, error) {
	limit, err := pageLimit(in.Limit)
	if err != nil {
		return nil, err
	}
	v, n, err := s.nodeOr404(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &api.OrphanList{Orphans: []api.Orphan{}}
	v.Strays(n.ID, func(c fsm.Stray) bool {
		if c.Verdict != fsm.CopyOrphan || string(c.Chain) <= in.After {
			return true
		}
		// A page ends between chains: the cursor does not tell epochs apart.
		if last := len(out.Orphans) - 1; last+1 >= limit && out.Orphans[last].Chain != string(c.Chain) {
			out.Next = api.NullString(out.Orphans[last].Chain)
			return false
		}
		out.Orphans = append(out.Orphans, api.Orphan{
			Chain: string(c.Chain), Epoch: uint64(c.Epoch), SHA256: api.NullString(c.SHA256), SizeBytes: c.SizeBytes,
		})
		return true
	})
	return out, nil
}

func (s *Server) purgeOrphan(ctx context.Context, in *orphanWrite) (*api.Done, error) {
	x := exchangeOf(ctx)
	node, err := nodeID("id", in.ID)
	if err != nil {
		return nil, err
	}
	chain, err := chainID("chain", in.Chain)
	if err != nil {
		return nil, err
	}
	var body api.Act
	if err := x.decode(&body, true); err != nil {
		return nil, err
	}
	reason, err := x.mustReason(body.Reason, "purging an orphan")
	if err != nil {
		return nil, err
	}
	r, err := s.propose(ctx, reason, &fsm.PurgeOrphan{Node: node, Chain: chain})
	if err != nil {
		return nil, err
	}
	return done(r), nil
}
