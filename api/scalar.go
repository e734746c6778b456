package api

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// ClusterTime is a time of the replicated clock: nanoseconds since the
// cluster's birth. In JSON it is a number of seconds with three decimals; 0
// means never and is null.
type ClusterTime int64

// MarshalJSON writes seconds, or null for never.
func (t ClusterTime) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return Seconds(t).MarshalJSON()
}

// UnmarshalJSON reads seconds, or null for never.
func (t *ClusterTime) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*t = 0
		return nil
	}
	return (*Seconds)(t).UnmarshalJSON(data)
}

// Seconds is a span of the replicated clock in nanoseconds. In JSON it is a
// number of seconds with three decimals.
type Seconds time.Duration

// MarshalJSON writes seconds with three decimals.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', 3, 64), nil
}

// UnmarshalJSON reads a number of seconds; null changes nothing.
func (s *Seconds) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	f, err := strconv.ParseFloat(string(data), 64)
	ms := math.Round(f * 1000)
	if err != nil || math.Abs(ms) > math.MaxInt64/1_000_000 {
		return fmt.Errorf("%.40s is not a number of seconds", data)
	}
	*s = Seconds(ms) * Seconds(time.Millisecond)
	return nil
}

// Duration is a configured duration. In JSON it is a Go duration string, such
// as "1m30s".
type Duration time.Duration

// String returns the Go duration string.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes a Go duration string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a Go duration string; null changes nothing.
func (d *Duration) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("%.40s is not a duration: give a string such as \"90s\" or \"5m\"", data)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%.40q is not a duration: give a string such as \"90s\" or \"5m\"", s)
	}
	*d = Duration(v)
	return nil
}

// NullString is a string whose empty value is null in JSON.
type NullString string

// MarshalJSON writes the string, or null if it is empty.
func (s NullString) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(s))
}

// UnmarshalJSON reads a string, or null as the empty one.
func (s *NullString) UnmarshalJSON(data []byte) error {
	var p *string
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("%.40s is not a string", data)
	}
	*s = ""
	if p != nil {
		*s = NullString(*p)
	}
	return nil
}
