package placement

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Capability is one slow fact that a node publishes of itself: a number or a
// text.
type Capability struct {
	Key      string
	Number   float64 // finite; 0 for a text
	Text     string
	IsNumber bool
}

// Capabilities is sorted by key and has each key once. Build it with
// [CapabilitiesOf].
type Capabilities []Capability

// CapabilitiesMax bounds the capabilities of a node.
const CapabilitiesMax = 64

// Keys of the capabilities that every node publishes where its machine tells.
const (
	CapabilityCores       = "cores"
	CapabilityMemoryBytes = "memory_bytes"
	CapabilityDiskBytes   = "disk_bytes"
)

// CapabilitiesOf returns the capabilities of a map in canonical order. A value
// is a string, or a number of type float64, int, int64 or uint64.
func CapabilitiesOf(m map[string]any) (Capabilities, error) {
	var list Capabilities
	for _, k := range sortedKeys(m) {
		c := Capability{Key: k, IsNumber: true}
		switch x := m[k].(type) {
		case string:
			c.Text, c.IsNumber = x, false
		case float64:
			c.Number = x + 0 // a negative zero is none
		case int:
			c.Number = float64(x)
		case int64:
			c.Number = float64(x)
		case uint64:
			c.Number = float64(x)
		default:
			return nil, fmt.Errorf("capability %s: it is neither a number nor a text", k)
		}
		list = append(list, c)
	}
	return list, list.Check()
}

// Check tells whether the capabilities are as [CapabilitiesOf] builds them:
// few enough, sorted, each key once, numbers finite, texts within their limits.
func (l Capabilities) Check() error {
	if len(l) > CapabilitiesMax {
		return fmt.Errorf("%d capabilities given: at most %d are allowed", len(l), CapabilitiesMax)
	}
	for i, x := range l {
		if err := checkID("capability key", x.Key, LabelLengthMax); err != nil {
			return err
		}
		if i > 0 && l[i-1].Key >= x.Key {
			return fmt.Errorf("capability key %q follows %q: capabilities must be sorted, each key once", x.Key, l[i-1].Key)
		}
		if math.IsNaN(x.Number) || math.IsInf(x.Number, 0) {
			return fmt.Errorf("capability %s: %v is not a finite number", x.Key, x.Number)
		}
		if err := CheckText("capability "+x.Key, x.Text); err != nil {
			return err
		}
	}
	return nil
}

// Get returns the capability of that key, and whether it is there.
func (l Capabilities) Get(key string) (Capability, bool) {
	i, ok := slices.BinarySearchFunc(l, key, func(a Capability, k string) int { return cmp.Compare(a.Key, k) })
	if !ok {
		return Capability{}, false
	}
	return l[i], true
}

// Map returns the capabilities as a new map of float64 and string, never nil.
func (l Capabilities) Map() map[string]any {
	m := make(map[string]any, len(l))
	for _, x := range l {
		if m[x.Key] = x.Text; x.IsNumber {
			m[x.Key] = x.Number
		}
	}
	return m
}

// ParseCapability reads KEY=VALUE as people write it. What looks like a number
// or a size (8, 1.5, 16GiB) is one; in double quotes, or else, it is a text.
func ParseCapability(word string) (Capability, error) {
	key, value, ok := strings.Cut(word, "=")
	if !ok {
		return Capability{}, fmt.Errorf("capability %.80q: give KEY=VALUE, such as cores=8, ssd_bytes=2TiB or gpu=a100", word)
	}
	c := Capability{Key: key, Text: value}
	if n, ok := parseNumber(value); ok {
		c.Number, c.Text, c.IsNumber = n+0, "", true
	} else if strings.HasPrefix(value, `"`) {
		text, err := strconv.Unquote(value)
		if err != nil {
			return Capability{}, fmt.Errorf("capability %.80q: the text has no closing quote", word)
		}
		c.Text = text
	}
	return c, Capabilities{c}.Check()
}

// number returns the capability as a number, if it is one or its text reads as one.
func (c *Capability) number() (float64, bool) {
	if c.IsNumber {
		return c.Number, true
	}
	return parseNumber(c.Text)
}

// parseNumber reads a decimal number, or a size with a unit: KB to TB are
// powers of 1000, KiB to TiB of 1024. It knows no infinities, no NaN and no
// other bases, and allocates nothing for what is a number or begins like none.
func parseNumber(s string) (n float64, ok bool) {
	digits, unit := cutUnit(s)
	if digits == "" {
		return 0, false
	}
	for i := range len(digits) {
		if strings.IndexByte("0123456789.+-eE", digits[i]) < 0 {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(digits, 64)
	n = f * unit
	return n, err == nil && !math.IsInf(n, 0)
}

// cutUnit returns s without its unit, and the unit's bytes.
func cutUnit(s string) (digits string, unit float64) {
	base, end := 1000.0, len(s)-2
	if strings.HasSuffix(s, "iB") {
		base, end = 1024, len(s)-3
	} else if !strings.HasSuffix(s, "B") {
		return s, 1
	}
	if end < 0 {
		return "", 0
	}
	unit = 1
	switch s[end] {
	case 'T':
		unit *= base
		fallthrough
	case 'G':
		unit *= base
		fallthrough
	case 'M':
		unit *= base
		fallthrough
	case 'K', 'k':
		return s[:end], unit * base
	}
	return "", 0
}
