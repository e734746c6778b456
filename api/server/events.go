package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// heartbeat is how often a quiet stream sends a comment, so that a dead
// connection is noticed at both ends.
const heartbeat = 15 * time.Second

// eventsLagMax is how long a client that has seen more than this node waits
// for it before its place counts as one that never was.
const eventsLagMax = 5 * time.Second

// stream is one client of the event stream.
type stream struct {
	s       *Server
	w       http.ResponseWriter
	control *http.ResponseController
	lineage string
	at      placement.Revision // the last revision sent
	late    bool               // this node has had eventsLagMax to get there
}

// getEvents sends what changes in this node's state, from now on or after
// Last-Event-ID. When that place is not known any more, or belongs to another
// lineage, the stream begins with a reset (rule S21).
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	v, err := s.own(x)
	if err != nil {
		return err
	}
	st := &stream{s: s, w: w, control: http.NewResponseController(w), lineage: v.Lineage, at: v.Revision}
	last := r.Header.Get(api.HeaderLastEventID)
	lineage, at, err := readEventID(last)
	if err != nil {
		return err
	}
	s.stamp(x, v)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	if last != "" {
		if st.at = at; lineage != v.Lineage {
			st.lineage = "" // no present lineage: the first look resets
		}
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	lag := time.NewTimer(eventsLagMax)
	defer lag.Stop()
	for {
		v = s.cfg.State.View()
		if err := st.send(v); err != nil {
			return nil //nolint:nilerr // the client is gone
		}
		select {
		case <-v.Next():
		case <-lag.C:
			st.late = true
		case <-beat.C:
			if s.admit(x) != nil {
				return nil // the token was revoked: who comes again is told
			}
			fmt.Fprint(w, ": \n\n")
		case <-r.Context().Done():
			return nil
		}
	}
}

// readEventID splits "<lineage>-<revision>"; a lineage may have dashes.
func readEventID(id string) (string, placement.Revision, error) {
	if id == "" {
		return "", 0, nil
	}
	i := strings.LastIndexByte(id, '-')
	if i > 0 {
		if n, err := strconv.ParseUint(id[i+1:], 10, 64); err == nil {
			return id[:i], placement.Revision(n), nil
		}
	}
	return "", 0, api.InvalidField(api.HeaderLastEventID, "%s: %.80q is not of the form <lineage>-<revision>", api.HeaderLastEventID, id)
}

// send writes all events up to v and flushes them.
func (st *stream) send(v *fsm.View) error {
	switch {
	case v.Lineage != st.lineage:
		st.reset(v)
	case st.at > v.Revision && (st.late || st.s.cfg.Leadership.Status().IsLeader):
		st.reset(v) // a place that this history has never reached
	case st.at > v.Revision: // the client comes from a node that is ahead
	default:
		known := v.ChangedSince(st.at, func(c fsm.Change) bool {
			st.change(v, c)
			st.at = c.Revision
			return true
		})
		if !known {
			st.reset(v)
		}
	}
	return st.control.Flush()
}

func (st *stream) reset(v *fsm.View) {
	st.lineage, st.at = v.Lineage, v.Revision
	st.write(api.EventReset, v.Revision, api.Reset{Lineage: v.Lineage, Revision: uint64(v.Revision)})
}

// change writes the events of one change: the object as it is now.
func (st *stream) change(v *fsm.View, c fsm.Change) {
	gone := api.Change{ID: c.ID, Revision: uint64(c.Revision), Deleted: true}
	switch c.Kind {
	case fsm.ChangeChain:
		if chain := v.Chain(placement.ChainID(c.ID)); chain != nil {
			st.write(api.EventChain, c.Revision, renderChain(v, chain))
		} else {
			st.write(api.EventChain, c.Revision, gone)
		}
	case fsm.ChangeNode:
		if n := v.Node(placement.NodeID(c.ID)); n != nil {
			st.write(api.EventNode, c.Revision, st.s.node(v, n))
		} else {
			st.write(api.EventNode, c.Revision, gone)
		}
	case fsm.ChangeConfig:
		st.write(api.EventConfig, c.Revision, renderConfig(&v.Config))
	case fsm.ChangeDecision:
		if r := v.Decision(c.Revision); r != nil {
			st.move(v, r)
			st.write(api.EventDecision, c.Revision, renderDecision(r))
		}
	case fsm.ChangeMove:
	}
}

// move writes the event of the move that a decision opened, changed or ended.
// It has no id and comes before its decision, which has: a client that lost
// the connection between the two gets both again.
func (st *stream) move(v *fsm.View, r *placement.Record) {
	d := &r.Decision
	if r.Verdict != placement.Accepted || d.Kind == placement.KindDrop {
		return
	}
	if c := v.Chain(d.Chain); c != nil {
		for i := range c.Moves {
			if m := &c.Moves[i]; d.Move == m.ID || d.Move == 0 && m.To == d.To && m.From == d.From {
				st.write(api.EventMove, 0, renderMove(c.ID, m))
				return
			}
		}
	}
	if d.Move != 0 {
		id := strconv.FormatUint(uint64(d.Move), 10)
		st.write(api.EventMove, 0, api.Change{ID: id, Revision: uint64(r.Revision), Deleted: true})
	}
}

// write writes one event; without a revision it has no id. A failure shows
// when the stream is flushed.
func (st *stream) write(kind string, at placement.Revision, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		st.s.cfg.OnError(fmt.Errorf("encoding an event: %w", err))
		return
	}
	if at != 0 {
		fmt.Fprintf(st.w, "id: %s-%d\n", st.lineage, at)
	}
	fmt.Fprintf(st.w, "event: %s\ndata: %s\n\n", kind, text)
}
