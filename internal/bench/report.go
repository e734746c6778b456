package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"
)

// Unit says what a figure counts.
type Unit string

// Units of figures.
const (
	Seconds   Unit = "s"
	Bytes     Unit = "B"
	PerSecond Unit = "/s"
	BytesRate Unit = "B/s"
	Count     Unit = ""
)

// Goal says which side of its limit a figure should be on.
type Goal string

// Goals. A figure without one is there to compare others with.
const (
	NoGoal  Goal = ""
	AtMost  Goal = "at most"
	AtLeast Goal = "at least"
)

// Figure is one thing measured, beside its limit or rival.
type Figure struct {
	Key   string // in JSON
	What  string // for people
	Value float64
	Unit  Unit

	Goal    Goal
	Limit   float64 // in the same unit; 0 = none
	Reach   float64 // share of Limit that the goal asks for; 0 = 1
	Against string  // what Limit is, for people; "" = a limit of the design
}

// Ratio returns the figure as a share of its limit, NaN without one.
func (f Figure) Ratio() float64 {
	if f.Limit == 0 {
		return math.NaN()
	}
	return f.Value / f.Limit
}

// OK tells whether the figure meets its goal.
func (f Figure) OK() bool {
	reach := f.Reach
	if reach == 0 {
		reach = 1
	}
	switch f.Goal {
	case AtMost:
		return f.Value <= f.Limit*reach
	case AtLeast:
		return f.Value >= f.Limit*reach
	case NoGoal:
	}
	return true
}

// Report is what one benchmark found.
type Report struct {
	Figures []Figure
	Notes   []string // how it was measured, for people
}

func (r *Report) add(figures ...Figure) { r.Figures = append(r.Figures, figures...) }

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Value returns the figure with that key, NaN if there is none.
func (r *Report) Value(key string) float64 {
	for _, f := range r.Figures {
		if f.Key == key {
			return f.Value
		}
	}
	return math.NaN()
}

// JSON returns the figures as one flat object, in their order; a figure with a
// limit has its ratio behind it, under the same key with _ratio.
func (r *Report) JSON() ([]byte, error) {
	var out bytes.Buffer
	put := func(key string, value float64) error {
		name, err := json.Marshal(key)
		if err != nil {
			return err
		}
		number, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("figure %s: %w", key, err)
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(number)
		return nil
	}
	out.WriteByte('{')
	for _, f := range r.Figures {
		if err := put(f.Key, f.Value); err != nil {
			return nil, err
		}
		if f.Limit == 0 {
			continue
		}
		if err := put(f.Key+"_ratio", f.Ratio()); err != nil {
			return nil, err
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// WriteTable writes one line per figure, and the notes.
func (r *Report) WriteTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "WHAT\tMEASURED\tLIMIT OR RIVAL\tRATIO\t")
	for _, f := range r.Figures {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", f.What, f.Unit.format(f.Value), f.limit(), f.ratio(), f.verdict())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, n := range r.Notes {
		if _, err := fmt.Fprintln(out, n); err != nil {
			return err
		}
	}
	return nil
}

func (f Figure) limit() string {
	if f.Limit == 0 {
		return "-"
	}
	s := f.Unit.format(f.Limit)
	if f.Against != "" {
		s += " " + f.Against
	}
	switch {
	case f.Goal == NoGoal:
		return s
	case f.Reach != 0:
		return fmt.Sprintf("%s %.0f%% of %s", f.Goal, 100*f.Reach, s)
	}
	return string(f.Goal) + " " + s
}

func (f Figure) ratio() string {
	if f.Limit == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g", f.Ratio())
}

func (f Figure) verdict() string {
	switch {
	case f.Goal == NoGoal:
		return ""
	case f.OK():
		return "ok"
	case f.Goal == AtLeast:
		return "under"
	}
	return "over"
}

// format prints a value for people.
func (u Unit) format(v float64) string {
	switch u {
	case Seconds:
		return time.Duration(v * float64(time.Second)).Round(precision(v)).String()
	case Bytes:
		return scaled(v, 1024, " B", " KiB", " MiB", " GiB", " TiB")
	case BytesRate:
		return scaled(v, 1000, " B/s", " kB/s", " MB/s", " GB/s")
	case PerSecond:
		return scaled(v, 1000, " /s", " k/s", " M/s")
	case Count:
	}
	return fmt.Sprintf("%.4g", v)
}

// precision keeps three digits or so of a number of seconds.
func precision(seconds float64) time.Duration {
	d := time.Duration(seconds * float64(time.Second))
	p := time.Nanosecond
	for d >= 1000 {
		d, p = d/10, p*10
	}
	return p
}

func scaled(v, step float64, units ...string) string {
	i := 0
	for ; v >= step && i < len(units)-1; i++ {
		v /= step
	}
	return fmt.Sprintf("%.3g%s", v, units[i])
}
