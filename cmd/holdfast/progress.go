package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// barWidth is how many characters a full bar has.
const barWidth = 24

// progress is a line on a terminal that says how far a long command is. A nil
// one says nothing.
type progress struct {
	to    io.Writer
	size  int64 // of all that there is to do, in bytes; 0 = not known
	done  int64
	count int
	began time.Time
}

// progress returns a bar for what is read from in, or nil when nobody would
// see it.
func (p *program) progress(in io.Reader) *progress {
	out, ok := p.stderr.(*os.File)
	if term, _ := p.env("TERM"); !ok || term == "dumb" {
		return nil
	}
	if info, err := out.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	g := &progress{to: out, began: time.Now()}
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			g.size = info.Size()
		}
	}
	g.draw()
	return g
}

// add counts what has been done and draws the line anew.
func (g *progress) add(count int, size int64) {
	if g == nil {
		return
	}
	g.count, g.done = g.count+count, g.done+size
	g.draw()
}

func (g *progress) draw() { fmt.Fprintf(g.to, "\r\x1b[K%s", g.line(time.Since(g.began))) }

// line is the bar, the count, the rate and the time that is left.
func (g *progress) line(took time.Duration) string {
	rate := float64(g.count) / max(took.Seconds(), 0.001)
	text := fmt.Sprintf("%d chains, %.0f/s", g.count, rate)
	if g.size <= 0 || g.done > g.size {
		return text
	}
	part := float64(g.done) / float64(g.size)
	full := int(part * barWidth)
	text = fmt.Sprintf("[%s%s] %3.0f%%  %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*part, text)
	if g.done > 0 {
		left := time.Duration(float64(took) * (1 - part) / part)
		text += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return text
}

// clear takes the line away.
func (g *progress) clear() {
	if g != nil {
		fmt.Fprint(g.to, "\r\x1b[K")
	}
}
