package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/internal/simulator"
)

func (p *program) simCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim --scenario FILE",
		Short: "Simulate how a cluster would balance, and draw the curves",
		Long: `Lives through a scenario (nodes, chains, and what happens to them, as YAML) in virtual time
with the real scheduler and the real state machine, and shows how even the load becomes, how
many copies move and how long it takes. It needs no cluster and touches none. Equal scenarios
and seeds give equal results.`,
		Example: `  holdfast sim --scenario examples/scenarios/join-one.yaml
  holdfast sim --scenario join-one.yaml --seed 7 -o svg > join-one.svg
  holdfast sim --scenario join-one.yaml -o json | jq .moves`,
		Args: takes(),
	}
	f := cmd.Flags()
	path := f.String("scenario", "", "file of the scenario; - is standard input")
	seed := f.Uint64("seed", 0, "seed of all chance (default: the scenario's)")
	output := f.StringP("output", "o", "table", "table, json, or svg: the curves as a picture")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *output != "table" && *output != "json" && *output != "svg" {
			return usage("--output: %q is none of table, json, svg", *output)
		}
		s, err := p.readScenario(*path)
		if err != nil {
			return err
		}
		if f.Changed("seed") {
			s.Seed = *seed
		}
		began := time.Now()
		r, err := simulator.Run(cmd.Context(), s, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", *path, err)
		}
		switch *output {
		case "json":
			return json.NewEncoder(p.stdout).Encode(r)
		case "svg":
			_, err := p.stdout.Write(r.SVG())
			return err
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 3, ' ', 0)
		writeSim(w, r, time.Since(began))
		return w.Flush()
	}
	return cmd
}

func (p *program) readScenario(path string) (*simulator.Scenario, error) {
	var data []byte
	var err error
	switch path {
	case "":
		return nil, usage("--scenario is missing: name a file; examples/scenarios of the source has some")
	case "-":
		data, err = io.ReadAll(p.stdin)
	default:
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, usage("--scenario: %w", err)
	}
	s, err := simulator.Parse(data)
	if err != nil {
		return nil, usage("--scenario: %s: %w", path, err)
	}
	return s, nil
}

// writeSim is the summary on one screen.
func writeSim(w io.Writer, r *simulator.Result, took time.Duration) {
	last := r.Samples[len(r.Samples)-1]
	fmt.Fprintf(w, "scenario\t%s, seed %d\n", r.Name, r.Seed)
	fmt.Fprintf(w, "cluster\t%s, %s, %d copies\n", plural(r.Nodes, "node"), plural(r.Chains, "chain"), r.Copies)
	fmt.Fprintf(w, "simulated\t%s in %s (%.3g s per simulated hour)\n", formatSpan(seconds64(r.SimulatedSeconds)), formatSpan(took), took.Seconds()/r.SimulatedSeconds*3600)
	for _, e := range r.Events {
		fmt.Fprintf(w, "event\tat %s %s: %s until the next; even %s, refilled %s\n", formatSpan(seconds64(e.Seconds)), e.Name, plural(e.Moves, "move"), after(e.EvenSeconds), after(e.RefillSeconds))
	}
	fmt.Fprintf(w, "even\t%s\n", reached(r.EvenSeconds, "the fullest node is more than a band above another that could take a copy"))
	fmt.Fprintf(w, "refilled\t%s\n", reached(r.RefillSeconds, fmt.Sprintf("%s below desired, %d unavailable", plural(last.Under, "chain"), last.Unavailable)))
	fmt.Fprintf(w, "quiet\t%s\n", reached(r.RestSeconds, "there were decisions in the last three cooldowns"))
	fmt.Fprintf(w, "utilisation\tmax %.3f, min %.3f, standard deviation %.3f, relative to the mean\n", last.Max, last.Min, last.StdDev)
	fmt.Fprintf(w, "moves\t%d: %s; %s\n", r.Moves.Total, causeCounts(r.Moves), formatBytes(r.Bytes))
	fmt.Fprintf(w, "called off\t%d: %s\n", r.CalledOff.Total, causeCounts(r.CalledOff))
	fmt.Fprintf(w, "bound\t%s\n", boundWords(r))
	fmt.Fprintf(w, "went back\t%d within ten cooldowns, %d more after a change of the cluster\n", r.Returns, r.ReturnsAfterEvents)
	fmt.Fprintf(w, "at worst\t%d below desired, %d unavailable, %s open\n", r.Peak.Under, r.Peak.Unavailable, plural(r.Peak.Open, "move"))
	var refused []count
	for _, x := range r.Refused {
		refused = append(refused, count{x.Count, x.Code})
	}
	fmt.Fprintf(w, "refused\t%s\n", counts(refused))
}

func seconds64(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// reached says when something came to hold, or why it does not.
func reached(seconds *float64, why string) string {
	if seconds == nil {
		return "no: " + why
	}
	return formatSpan(seconds64(*seconds)) + " after the last event"
}

func after(seconds *float64) string {
	if seconds == nil {
		return "not"
	}
	return "after " + formatSpan(seconds64(*seconds))
}

func causeCounts(c simulator.Counts) string {
	return counts([]count{{c.Balance, "balance"}, {c.Repair, "repair"}, {c.Drain, "drain"}, {c.Constraint, "constraint"}, {c.Forced, "forced"}})
}

func boundWords(r *simulator.Result) string {
	if r.MovesPerBound == nil {
		return "nothing had to move"
	}
	return fmt.Sprintf("%d copies had to move at least; moves are %.2f times that, their load %.2f times", r.Bound, *r.MovesPerBound, *r.LoadPerBound)
}
