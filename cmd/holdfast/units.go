package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
)

// parseBytes reads a number of bytes: "500GiB", "1.5TB", "4096".
func parseBytes(s string) (int64, error) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit, known := unitOf(strings.TrimSpace(s[len(digits):]))
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !known || math.IsNaN(n) || n < 0 || n*unit >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a number of bytes: give one such as 500GiB, 20GB or 4096", s)
	}
	return int64(math.Round(n * unit)), nil
}

// unitOf returns the bytes of a unit: powers of 1024 with an i, of 1000 without.
func unitOf(name string) (float64, bool) {
	name = strings.TrimSuffix(strings.ToLower(name), "b")
	if name == "" {
		return 1, true
	}
	power := strings.IndexByte("kmgtpe", name[0]) + 1
	switch {
	case power == 0:
		return 0, false
	case len(name) == 1:
		return math.Pow(1000, float64(power)), true
	}
	return math.Pow(1024, float64(power)), name[1:] == "i"
}

// formatBytes prints a number of bytes with three digits or so.
func formatBytes(n int64) string {
	value, unit := float64(n), 0
	for value >= 1024 && unit < 6 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	form := "%.1f %ciB"
	if value >= 100 {
		form = "%.0f %ciB"
	}
	return fmt.Sprintf(form, value, "KMGTPE"[unit-1])
}

// formatSpan prints a duration, the finer the shorter it is.
func formatSpan(d time.Duration) string {
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
	case d >= time.Minute:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Millisecond)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// formatTime prints a cluster time as its distance from the cluster's birth.
func formatTime(t api.ClusterTime) string {
	if t == 0 {
		return "never"
	}
	return formatSpan(time.Duration(t))
}

// formatScore prints a score, or a dash for none.
func formatScore(s *float64) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *s)
}

// dash stands for what is empty in a table.
func dash[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return string(s)
}

// list joins names, or returns a dash for none.
func list(names []string) string { return dash(strings.Join(names, ", ")) }

// plural prints a number of things.
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
