package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

func (p *program) movesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "moves",
		Short:   "List the open moves",
		Example: "  holdfast moves",
		Args:    takes(),
	}
	var page paging
	page.flags(cmd, api.LimitDefault)
	at := level(cmd)
	cmd.RunE = p.accessTo(cmd).run(func(s *session, cmd *cobra.Command, _ []string) error {
		if err := page.check(); err != nil {
			return err
		}
		l, err := s.Moves(cmd.Context(), client.Page{After: page.after, Limit: page.limit}, at())
		if err != nil {
			return err
		}
		defer s.more(l.Next)
		return s.print(func(w io.Writer) { writeMoves(w, l.Moves) })
	})
	return cmd
}

func writeMoves(w io.Writer, moves []api.Move) {
	fmt.Fprintln(w, "MOVE\tCHAIN\tCAUSE\tFROM\tTO\tPHASE\tCOPIED\tOPENED\tDEADLINE\tSCORES")
	for i := range moves {
		m := &moves[i]
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, m.Chain, m.Cause, dash(m.From), m.To, m.Phase,
			copied(m), formatTime(m.Opened), formatTime(m.Deadline), scores(m.ScoreFrom, m.ScoreTo))
	}
}

// copied says how far a move's pull has come.
func copied(m *api.Move) string {
	if m.BytesTotal == 0 {
		return "-"
	}
	return fmt.Sprintf("%s of %s", formatBytes(m.BytesDone), formatBytes(m.BytesTotal))
}

func scores(from, to *float64) string {
	if from == nil && to == nil {
		return "-"
	}
	return formatScore(from) + " to " + formatScore(to)
}

func (p *program) decisionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "decisions",
		Short:   "List what was decided, newest first, with the reasons",
		Example: "  holdfast decisions --limit 20\n  holdfast decisions --chain web --cause balance",
		Args:    takes(),
	}
	var page paging
	page.flags(cmd, api.LimitDefault)
	var f client.DecisionFilter
	cmd.Flags().StringVar(&f.Chain, "chain", "", "only those about this chain")
	cmd.Flags().StringVar(&f.Node, "node", "", "only those from or to this node")
	cmd.Flags().StringVar(&f.Cause, "cause", "", "only those of this cause: forced, repair, drain, constraint, excess, balance")
	at := level(cmd)
	cmd.RunE = p.accessTo(cmd).run(func(s *session, cmd *cobra.Command, _ []string) error {
		if err := page.check(); err != nil {
			return err
		}
		f.After, f.Limit = page.after, page.limit
		l, err := s.Decisions(cmd.Context(), f, at())
		if err != nil {
			return err
		}
		defer s.more(l.Next)
		return s.print(func(w io.Writer) { writeDecisions(w, l.Decisions) })
	})
	return cmd
}

func writeDecisions(w io.Writer, decisions []api.Decision) {
	fmt.Fprintln(w, "REVISION\tTIME\tCHAIN\tKIND\tCAUSE\tFROM\tTO\tVERDICT\tSCORES\tREASON")
	for i := range decisions {
		d := &decisions[i]
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Revision, d.WallTime.UTC().Format(time.DateTime), d.Chain, d.Kind,
			dash(d.Cause), dash(d.From), dash(d.To), d.Verdict, scores(d.ScoreFrom, d.ScoreTo), d.Reason)
	}
}

func (p *program) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow what happens, one line an event, until interrupted",
		Long: `Follows the event stream of any node, across restarts and changes of leader. After an event
of kind reset something may have been missed: list again.`,
		Example: "  holdfast events\n  holdfast events --after LINEAGE-REVISION -o json",
		Args:    takes(),
	}
	after := cmd.Flags().String("after", "", "the id of the last event seen; default: from now on")
	cmd.RunE = p.accessTo(cmd).run(func(s *session, cmd *cobra.Command, _ []string) error {
		for e, err := range s.Events(cmd.Context(), *after) {
			if err == nil {
				err = s.writeEvent(e)
			}
			switch {
			case cmd.Context().Err() != nil && errors.Is(err, cmd.Context().Err()):
				return nil // interrupting is how it ends
			case err != nil:
				return err
			}
		}
		return nil
	})
	return cmd
}

func (s *session) writeEvent(e client.Event) error {
	if s.json {
		return json.NewEncoder(s.p.stdout).Encode(struct {
			ID    string          `json:"id"`
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data"`
		}{e.ID, e.Kind, e.Data})
	}
	_, err := fmt.Fprintf(s.p.stdout, "%-8s  %s\n", e.Kind, eventText(e))
	return err
}

// eventText is what happened, on one line.
func eventText(e client.Event) string {
	var change api.Change
	if json.Unmarshal(e.Data, &change) == nil && change.Deleted {
		return change.ID + " is gone"
	}
	var err error
	text := ""
	switch e.Kind {
	case api.EventDecision:
		var d api.Decision
		err = json.Unmarshal(e.Data, &d)
		text = strings.Join(strings.Fields(fmt.Sprintf("%s: %s %s %s (%s) %s", d.Chain, d.Kind, way(d.From, d.To), d.Verdict, d.Cause, d.Reason)), " ")
	case api.EventMove:
		var m api.Move
		err = json.Unmarshal(e.Data, &m)
		text = fmt.Sprintf("%d %s: %s %s %s", m.ID, m.Chain, m.Cause, way(m.From, api.NullString(m.To)), m.Phase)
	case api.EventChain:
		var c api.Chain
		err = json.Unmarshal(e.Data, &c)
		text = fmt.Sprintf("%s: %s, %d of %s live, on %s", c.ID, c.Health, live(&c), copies(c.Spec.Desired), holders(&c))
	case api.EventNode:
		var n api.Node
		err = json.Unmarshal(e.Data, &n)
		text = fmt.Sprintf("%s: %s, %s", n.ID, n.State, eligibility(&n))
	default:
		text = string(e.Data)
	}
	if err != nil {
		return string(e.Data)
	}
	return text
}

// way says where a copy goes.
func way(from, to api.NullString) string {
	switch {
	case from == "" && to == "":
		return ""
	case from == "":
		return "to " + string(to)
	case to == "":
		return "from " + string(from)
	}
	return fmt.Sprintf("from %s to %s", from, to)
}
