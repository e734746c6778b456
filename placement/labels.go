package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Label is one key with its value.
type Label struct{ Key, Value string }

// Labels is sorted by key and has each key once. Build it with [LabelsOf].
type Labels []Label

// Limits of labels and of the expressions over them.
const (
	LabelsMax      = 64
	LabelLengthMax = 256
	ExpressionsMax = 32
)

// LabelsOf returns the labels of a map in canonical order.
func LabelsOf(m map[string]string) (Labels, error) {
	var labels Labels
	for _, k := range sortedKeys(m) {
		labels = append(labels, Label{k, m[k]})
	}
	return labels, labels.Check()
}

// Check tells whether the labels are as [LabelsOf] builds them: few enough,
// sorted, each key once, each key and value within its limits.
func (l Labels) Check() error {
	if len(l) > LabelsMax {
		return fmt.Errorf("%d labels given: at most %d are allowed", len(l), LabelsMax)
	}
	for i, x := range l {
		if err := checkID("label key", x.Key, LabelLengthMax); err != nil {
			return err
		}
		if i > 0 && l[i-1].Key >= x.Key {
			return fmt.Errorf("label key %q follows %q: labels must be sorted, each key once", x.Key, l[i-1].Key)
		}
		if err := CheckText("label "+x.Key, x.Value); err != nil {
			return err
		}
	}
	return nil
}

// CheckText tells whether a word that people chose (the value of a label, a
// zone, an address) is short enough and has no control character.
func CheckText(what, s string) error {
	if len(s) > LabelLengthMax || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%s: it must have at most %d bytes of text and no control character", what, LabelLengthMax)
	}
	return nil
}

// sortedKeys is the one place in the pure packages that walks a map.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Get returns the value of key, and whether it is there.
func (l Labels) Get(key string) (string, bool) {
	i, ok := slices.BinarySearchFunc(l, key, func(a Label, k string) int { return cmp.Compare(a.Key, k) })
	if !ok {
		return "", false
	}
	return l[i].Value, true
}

// Map returns the labels as a new map, never nil.
func (l Labels) Map() map[string]string {
	m := make(map[string]string, len(l))
	for _, x := range l {
		m[x.Key] = x.Value
	}
	return m
}
