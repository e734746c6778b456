package simulator

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/holdfast-cluster/holdfast/placement"
)

// override returns cfg with the given keys of the replicated configuration
// changed. The keys are the API's: the names of the fields in snake case.
func override(cfg placement.Config, keys map[string]any) (placement.Config, error) {
	v := reflect.ValueOf(&cfg).Elem()
	known := 0
	for i := range v.NumField() {
		name := snake(v.Type().Field(i).Name)
		value, given := keys[name]
		if !given {
			continue
		}
		known++
		if err := setField(v.Field(i), value); err != nil {
			return cfg, fmt.Errorf("%s: %w", name, err)
		}
	}
	if known < len(keys) {
		return cfg, fmt.Errorf("%s: no such key of the configuration", unknownKey(v.Type(), keys))
	}
	return cfg, cfg.Validate()
}

func setField(f reflect.Value, value any) error {
	switch x := value.(type) {
	case string:
		return setText(f, x)
	case float64:
		switch {
		case f.Kind() == reflect.Float64:
			f.SetFloat(x)
			return nil
		case f.CanInt() && !isSpan(f) && x == math.Trunc(x) && math.Abs(x) < 1<<62:
			f.SetInt(int64(x))
			return nil
		}
	}
	return fmt.Errorf("%v is not %s", value, wanted(f))
}

func isSpan(f reflect.Value) bool { return f.Type() == reflect.TypeFor[time.Duration]() }

func setText(f reflect.Value, text string) error {
	if f.Kind() == reflect.String {
		f.SetString(text)
		return nil
	}
	if isSpan(f) {
		if d, err := time.ParseDuration(text); err == nil {
			f.SetInt(int64(d))
			return nil
		}
	} else if n, ok := parseAmount(text); ok && f.CanInt() {
		f.SetInt(int64(n))
		return nil
	}
	return fmt.Errorf("%q is not %s", text, wanted(f))
}

func wanted(f reflect.Value) string {
	switch {
	case isSpan(f):
		return `a duration such as "5m"`
	case f.CanInt():
		return "a whole number"
	case f.Kind() == reflect.String:
		return "a word"
	}
	return "a number"
}

// unknownKey returns the first key, in order, that is no field of t.
func unknownKey(t reflect.Type, keys map[string]any) string {
	var names []string
	for i := range t.NumField() {
		names = append(names, snake(t.Field(i).Name))
	}
	for _, key := range sortedKeys(keys) {
		if !slices.Contains(names, key) {
			return key
		}
	}
	return ""
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// snake turns BalanceMovesMax into balance_moves_max, and RequestTTL into
// request_ttl.
func snake(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, r := range letters {
		if unicode.IsUpper(r) && i > 0 && unicode.IsLower(letters[i-1]) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
