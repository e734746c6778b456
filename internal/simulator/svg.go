package simulator

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// SVG draws the result as one picture that needs nothing else: utilisation,
// open moves and chains that lack copies over time, and the scenario's events.
func (r *Result) SVG() []byte {
	p := &picture{end: max(r.SimulatedSeconds, 1)}
	p.put(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#333">`,
		pictureWidth, pictureHeight, pictureWidth, pictureHeight)
	p.put(`<rect width="100%%" height="100%%" fill="#ffffff"/>`)
	p.text(left, 30, `font-size="19" font-weight="bold" fill="#111"`, r.Name)
	for i, line := range []string{r.Shape(), r.Verdict(), r.Effort()} {
		p.text(left, 51+18*float64(i), `font-size="13" fill="#555"`, line)
	}
	p.events(r.Events)
	y := float64(panelsTop)
	for _, x := range r.panels() {
		p.panel(y, x, r.Samples)
		y += panelHeight + panelGap
	}
	p.timeAxis(y - panelGap)
	p.put(`</svg>`)
	return p.Bytes()
}

// Measures of the picture, in pixels.
const (
	pictureWidth  = 1000
	pictureHeight = 738
	left          = 74
	right         = 852
	panelsTop     = 154
	panelHeight   = 160
	panelGap      = 26
)

// panel is one of the stacked graphs.
type panel struct {
	title  string
	floor  float64 // the axis begins at it, or below
	least  float64 // the axis spans at least so much
	curves []curve
}

type curve struct {
	name, colour string
	value        func(*Sample) float64
}

func (r *Result) panels() []panel {
	open := panel{title: "open moves", least: 4}
	colours := [causesCount]string{"#1f77b4", "#d62728", "#9467bd", "#8c564b", "#7f7f7f"}
	for i, cause := range causes() {
		seen := cause == causes()[0]
		for k := range r.Samples {
			seen = seen || r.Samples[k].Open.list()[i] > 0
		}
		if seen {
			open.curves = append(open.curves, curve{string(cause), colours[i], func(s *Sample) float64 { return float64(s.Open.list()[i]) }})
		}
	}
	return []panel{
		{title: "utilisation: weight per capacity, relative to the mean", floor: 0.9, least: 0.2, curves: []curve{
			{"fullest node", "#d62728", func(s *Sample) float64 { return s.Max }},
			{"mean", "#999999", func(*Sample) float64 { return 1 }},
			{"emptiest node", "#1f77b4", func(s *Sample) float64 { return s.Min }},
		}},
		open,
		{title: "chains that lack live copies", least: 4, curves: []curve{
			{"under desired", "#ff7f0e", func(s *Sample) float64 { return float64(s.Under) }},
			{"unavailable", "#b00020", func(s *Sample) float64 { return float64(s.Unavailable) }},
		}},
	}
}

// picture is the text of the SVG so far.
type picture struct {
	bytes.Buffer
	end float64 // seconds at the right edge
}

func (p *picture) put(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

func (p *picture) text(x, y float64, attributes, text string) {
	var safe strings.Builder
	_ = xml.EscapeText(&safe, []byte(text)) // a Builder takes everything
	p.put(`<text x="%s" y="%s" %s>%s</text>`, px(x), px(y), attributes, safe.String())
}

func (p *picture) line(x1, y1, x2, y2 float64, attributes string) {
	p.put(`<line x1="%s" y1="%s" x2="%s" y2="%s" %s/>`, px(x1), px(y1), px(x2), px(y2), attributes)
}

// px prints a coordinate.
func px(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }

func (p *picture) x(seconds float64) float64 { return left + (right-left)*seconds/p.end }

// panel draws one graph with its axis and legend, top at y.
func (p *picture) panel(y float64, g panel, samples []Sample) {
	low, high := g.floor, g.floor+g.least
	for i := range samples {
		for _, c := range g.curves {
			low, high = min(low, c.value(&samples[i])), max(high, c.value(&samples[i]))
		}
	}
	step := niceStep((high-low)/4, 10)
	low, high = math.Floor(low/step)*step, math.Ceil(high/step)*step
	at := func(v float64) float64 { return y + panelHeight*(high-v)/(high-low) }
	p.text(left, y-7, `font-weight="bold"`, g.title)
	for v := low; v <= high+step/2; v += step {
		p.line(left, at(v), right, at(v), `stroke="#e4e4e4"`)
		p.text(left-8, at(v)+4, `text-anchor="end" fill="#555"`, tickText(v))
	}
	for i, c := range g.curves {
		p.curve(c, samples, at)
		ly := y + 12 + 20*float64(i)
		p.line(right+16, ly, right+40, ly, `stroke="`+c.colour+`" stroke-width="3"`)
		p.text(right+46, ly+4, "", c.name)
	}
	p.line(left, y, left, y+panelHeight, `stroke="#888"`)
	p.line(left, y+panelHeight, right, y+panelHeight, `stroke="#888"`)
}

// pointsMax bounds the points of a curve: more cannot be told apart.
const pointsMax = 2000

func (p *picture) curve(c curve, samples []Sample, at func(float64) float64) {
	var points strings.Builder
	stride := max(len(samples)/pointsMax, 1)
	for i := 0; i < len(samples); i += stride {
		s := &samples[i]
		fmt.Fprintf(&points, "%s,%s ", px(p.x(s.Seconds)), px(at(c.value(s))))
	}
	p.put(`<polyline fill="none" stroke="%s" stroke-width="1.6" stroke-linejoin="round" points="%s"/>`, c.colour, strings.TrimSpace(points.String()))
}

// events draws a line through all panels for each event, and writes its name
// above where there is room for it.
func (p *picture) events(list []Mark) {
	const rows, rowHeight, letter = 2, 15.0, 6.3
	var free [rows]float64 // from where on each row is free
	bottom := panelsTop + 3*panelHeight + 2*panelGap
	for _, e := range list {
		x := p.x(e.Seconds)
		top := panelsTop - 20.0
		for row := range free {
			width := letter * float64(len([]rune(e.Name)))
			begin := min(x, right-width)
			if begin < free[row] {
				continue
			}
			free[row] = begin + width + 8
			top = panelsTop - 24 - rowHeight*float64(row)
			p.text(begin, top, `font-size="11.5" fill="#2e7d32"`, e.Name)
			break
		}
		p.line(x, top+4, x, float64(bottom), `stroke="#2e7d32" stroke-dasharray="3 3" stroke-opacity="0.65"`)
	}
}

// timeAxis writes the times below the last panel.
func (p *picture) timeAxis(y float64) {
	unit, name, base := 1.0, "s", 60.0
	switch {
	case p.end > 3*24*3600:
		unit, name, base = 24*3600, "days", 10
	case p.end > 3*3600:
		unit, name, base = 3600, "h", 10
	case p.end > 180:
		unit, name, base = 60, "min", 60
	}
	step := niceStep(p.end/unit/8, base) * unit
	for s := 0.0; s <= p.end*1.0001; s += step {
		p.line(p.x(s), y, p.x(s), y+5, `stroke="#888"`)
		p.text(p.x(s), y+19, `text-anchor="middle" fill="#555"`, tickText(s/unit))
	}
	p.text(right+16, y+19, `fill="#555"`, "time in "+name)
}

// niceStep returns a step of about the given size that people count in: 1, 2
// or 5 times a power of ten, or with base 60 also 15, 30 and 60.
func niceStep(about, base float64) float64 {
	if base == 60 && about > 7.5 && about <= 60 {
		for _, step := range []float64{10, 15, 30, 60} {
			if about <= step {
				return step
			}
		}
	}
	power := math.Pow(10, math.Floor(math.Log10(about)))
	for _, f := range []float64{1, 2, 5} {
		if about <= f*power*1.0001 {
			return f * power
		}
	}
	return 10 * power
}

func tickText(v float64) string {
	if v >= 10_000 {
		return strconv.FormatFloat(v/1000, 'f', -1, 64) + "k"
	}
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}

// Shape says in one line what there is at the end, and how evenly it is loaded.
func (r *Result) Shape() string {
	last := r.Samples[len(r.Samples)-1]
	return fmt.Sprintf("%d nodes, %d chains; at the end the fullest node has %.3f, the emptiest %.3f of the mean", r.Nodes, r.Chains, last.Max, last.Min)
}

// Verdict says in one line how the run ended.
func (r *Result) Verdict() string {
	even, quiet := "it is not even", "not quiet when the time was over"
	refilled := strconv.Itoa(r.Samples[len(r.Samples)-1].Under) + " chains lack copies"
	if r.Even {
		even = "even in " + span(r.EvenSeconds)
	}
	if r.Refilled {
		refilled = "all copies there in " + span(r.RefillSeconds)
	}
	if r.Quiet {
		quiet = "quiet in " + span(r.RestSeconds)
	}
	return fmt.Sprintf("since the last event: %s, %s, %s", even, refilled, quiet)
}

// Effort says in one line what it took.
func (r *Result) Effort() string {
	ratio := ""
	if r.MovesPerBound != nil {
		ratio = fmt.Sprintf(", %.2f times that; load %.2f times", *r.MovesPerBound, *r.LoadPerBound)
	}
	text := fmt.Sprintf("%d copies moved (at least %d had to%s), %s, %d went back within ten cooldowns", r.Moves.Total, r.Bound, ratio, bytesText(r.Bytes), r.Returns)
	if r.ReturnsAfterEvents > 0 {
		text += fmt.Sprintf(" (%d more after a later change)", r.ReturnsAfterEvents)
	}
	return text
}

func bytesText(n int64) string {
	value, unit := float64(n), 0
	for value >= 1024 && unit < 6 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.3g %s", value, [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}[unit])
}

func span(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	d := time.Duration(*seconds * float64(time.Second))
	switch {
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d >= time.Minute:
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
