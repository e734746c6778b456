package simulator

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// The picture is well-formed, whatever the scenario is called, and shows every
// panel, curve and event. Provoked by a name full of markup, two events, and a
// run of one sample only.
func TestPicture(t *testing.T) {
	r := play(t, `
name: "a <b> & \"c\""
duration: 1h
nodes: [{count: 4}]
chains: [{count: 40, desired: 2, size: {fixed: 100MB}}]
events: [{at: 1m, name: one lost & found, lose: {count: 1}}, {at: 20m, name: back, return: {all: true}}]`)
	for _, svg := range []string{string(r.SVG()), string((&Result{Samples: r.Samples[:1]}).SVG())} {
		dec := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in\n%s", err, svg)
			}
		}
		for _, want := range []string{"fullest node", "emptiest node", "open moves", "balance", "under desired", "unavailable", "time in"} {
			if !strings.Contains(svg, ">"+want) {
				t.Errorf("no %q in the picture", want)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Error("a coordinate is no number")
		}
	}
	for _, want := range []string{"a &lt;b&gt; &amp; ", "one lost &amp; found", ">back<", ">repair<"} {
		if !strings.Contains(string(r.SVG()), want) {
			t.Errorf("no %q in the picture", want)
		}
	}
}

// Steps of axes are numbers that people count in.
func TestNiceStep(t *testing.T) {
	for _, c := range []struct{ about, base, want float64 }{
		{0.03, 10, 0.05},
		{1, 10, 1},
		{1.2, 10, 2},
		{7, 10, 10},
		{12, 60, 15},
		{20, 60, 30},
		{45, 60, 60},
		{3, 60, 5},
	} {
		if got := niceStep(c.about, c.base); got != c.want {
			t.Errorf("niceStep(%v, %v) = %v, want %v", c.about, c.base, got, c.want)
		}
	}
}
