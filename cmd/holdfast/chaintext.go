package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
)

func writeChains(w io.Writer, chains []api.Chain) {
	fmt.Fprintln(w, "CHAIN\tHEALTH\tLIVE\tDESIRED\tHOLDERS\tSIZE\tMOVES")
	for i := range chains {
		c := &chains[i]
		size := "-"
		if c.Content != nil {
			size = formatBytes(c.Content.Size)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%d\n", c.ID, c.Health, live(c), number(c.Spec.Desired), holders(c), size, len(c.Moves))
	}
}

func live(c *api.Chain) int {
	n := 0
	for i := range c.Holders {
		if c.Holders[i].Live {
			n++
		}
	}
	return n
}

// holders names the nodes of a chain; what is not a live copy says so.
func holders(c *api.Chain) string {
	var parts []string
	for i := range c.Holders {
		h := &c.Holders[i]
		word := h.Node
		if !h.Live {
			word += " (" + strings.Join(append([]string{h.Phase}, h.Marks...), ", ") + ")"
		}
		parts = append(parts, word)
	}
	return list(parts)
}

func number(n *int) string {
	if n == nil {
		return "-"
	}
	return strconv.Itoa(*n)
}

func writeChain(w io.Writer, c *api.Chain) {
	fmt.Fprintf(w, "chain\t%s, %s: %d of %s live\n", c.ID, c.Health, live(c), copies(c.Spec.Desired))
	fmt.Fprintf(w, "spec\t%s\n", strings.Join(specWords(&c.Spec), ", "))
	if c.Content == nil {
		fmt.Fprintf(w, "content\tnone\n")
	} else {
		fmt.Fprintf(w, "content\t%s, sha256 %s\n", formatBytes(c.Content.Size), c.Content.SHA256)
	}
	cooling := "balance may move it"
	if c.CooldownRemaining > 0 {
		cooling = "balance leaves it alone for " + formatSpan(time.Duration(c.CooldownRemaining))
	}
	fmt.Fprintf(w, "last rebalance\t%s; %s\n", formatTime(c.LastRebalance), cooling)
	if q := c.Quarantine; q != nil {
		fmt.Fprintf(w, "quarantine\t%s in a row failed, until cluster time %s: %s\n", plural(q.Failures, "target"), formatTime(q.Until), dash(q.Error))
	}
	for i := range c.Unplaceable {
		title := ""
		if i == 0 {
			title = "unplaceable"
		}
		fmt.Fprintf(w, "%s\t%s\n", title, obstacle(&c.Unplaceable[i]))
	}
	fmt.Fprintf(w, "generation\t%d, revision %d\n", c.Generation, c.Revision)
	fmt.Fprintln(w, "\nHOLDER\tPHASE\tLIVE\tADDRESS\tEPOCH\tSOURCE\tERROR")
	for i := range c.Holders {
		h := &c.Holders[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", h.Node, strings.Join(append([]string{h.Phase}, h.Marks...), ", "), yes(h.Live), dash(h.Address), h.Epoch, dash(h.Source), dash(h.Error))
	}
	if len(c.Moves) > 0 {
		fmt.Fprintln(w)
		writeMoves(w, c.Moves)
	}
}

// obstacle says what keeps which nodes from being given a copy.
func obstacle(o *api.Obstacle) string {
	names := strings.Join(o.Examples, ", ")
	if o.Nodes > len(o.Examples) {
		names += ", …"
	}
	return fmt.Sprintf("%s (%s): %s", plural(o.Nodes, "node"), names, o.Why)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// specWords says what a spec asks for; what is the cluster's is left out.
func specWords(s *api.Spec) []string {
	words := []string{copies(s.Desired)}
	add := func(form string, args ...any) { words = append(words, fmt.Sprintf(form, args...)) }
	if s.MinReady != nil {
		add("min_ready %d", *s.MinReady)
	}
	if s.Policy != "" {
		add("policy %s", s.Policy)
	}
	if s.SizeBytes != nil && *s.SizeBytes > 0 {
		add("size %s", formatBytes(*s.SizeBytes))
	}
	if s.Weight != nil {
		add("weight %g", *s.Weight)
	}
	if s.Floor != nil {
		add("floor %g", *s.Floor)
	}
	if s.Gap != nil {
		add("gap %g", *s.Gap)
	}
	if s.Cooldown != nil {
		add("cooldown %s", formatSpan(time.Duration(*s.Cooldown)))
	}
	if s.RepairDelay != nil {
		add("repair delay %s", formatSpan(time.Duration(*s.RepairDelay)))
	}
	for _, e := range s.Require {
		add("requires %s", e)
	}
	for _, e := range s.Prefer {
		add("prefers %s", e)
	}
	if s.Spread != "" && s.Spread != "even" {
		add("spread %s", s.Spread)
	}
	if s.MaxPerZone != nil {
		add("at most %d per zone", *s.MaxPerZone)
	}
	for _, e := range s.AntiAffinity {
		add("apart from %s", e)
	}
	for _, e := range s.Colocate {
		add("together with %s", e)
	}
	for _, e := range s.Near {
		add("near to %s", e)
	}
	if len(s.Labels) > 0 {
		add("labels %s", labels(s.Labels))
	}
	return words
}

// writeExplanation puts an explanation into sentences.
func writeExplanation(w io.Writer, e *api.Explanation) {
	action := map[string]string{
		"none": "nothing", "move": "open a move", "repair": "make a missing copy", "drop": "drop a copy",
	}[e.Action]
	if action == "" {
		action = e.Action
	}
	cause := ""
	if e.Cause != "" && e.Action != "none" {
		cause = fmt.Sprintf(", cause %s", e.Cause)
	}
	fmt.Fprintf(w, "The scheduler would do this with chain %s: %s%s.\n", e.Chain, action, cause)
	fmt.Fprintf(w, "%s\n", e.Text)
	if len(e.Gates) > 0 {
		fmt.Fprintln(w, "\nIt tried, in this order:")
		for i := range e.Gates {
			writeGate(w, &e.Gates[i])
		}
	}
	writeCandidates(w, "\nThe nodes that hold it:", e.Holders)
	writeCandidates(w, "\nThe nodes that could:", e.Candidates)
	if len(e.WouldChange) > 0 {
		fmt.Fprintln(w, "\nThis would change it:")
		for _, s := range e.WouldChange {
			fmt.Fprintf(w, "  - %s\n", s)
		}
	}
}

// writeGate says what a gate met, and what it needs where that is not the same.
func writeGate(w io.Writer, g *api.Gate) {
	verdict := "passed "
	if !g.Pass {
		verdict = "stopped"
	}
	text := ""
	if g.Value != "" {
		text = ": " + string(g.Value)
	}
	if g.Limit != "" && g.Limit != g.Value {
		text += " (needed: " + string(g.Limit) + ")"
	}
	fmt.Fprintf(w, "  %s  %s%s\n", verdict, g.Name, text)
}

func writeCandidates(w io.Writer, title string, all []api.Candidate) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w, title)
	for i := range all {
		fmt.Fprintf(w, "  %s\n", candidate(&all[i]))
	}
}

// candidate is how one node stands for a chain, as a sentence.
func candidate(c *api.Candidate) string {
	var parts []string
	switch {
	case !c.Eligible:
		parts = append(parts, fmt.Sprintf("%s may not: %s", c.Node, dash(c.Code)))
	case c.Score == nil:
		parts = append(parts, fmt.Sprintf("%s has no score", c.Node))
	default:
		parts = append(parts, fmt.Sprintf("%s scores %s", c.Node, formatScore(c.Score)))
	}
	if c.Eligible && c.Limiting != "" {
		parts = append(parts, "held down by "+string(c.Limiting))
	}
	var axes []string
	for i := range c.Axes {
		x := &c.Axes[i]
		word := x.Name + " " + formatScore(x.Value)
		if x.Value == nil {
			word = x.Name + " unknown"
		}
		if x.Input != "" {
			word += " from " + string(x.Input)
		}
		axes = append(axes, word)
	}
	text := strings.Join(parts, ", ")
	if axes != nil {
		text += " (" + strings.Join(axes, "; ") + ")"
	}
	return text + "."
}
