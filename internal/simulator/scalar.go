package simulator

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time, written as Go does: "90s", "1h30m".
type Duration struct {
	time.Duration
	bad string // what was written instead
}

// UnmarshalJSON keeps what is no duration for the check, which knows its name.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	err := json.Unmarshal(data, &text)
	if err == nil {
		d.Duration, err = time.ParseDuration(text)
	}
	if err != nil || d.Duration < 0 {
		d.bad = string(data)
	}
	return nil
}

func (d Duration) problem() string {
	if d.bad == "" {
		return ""
	}
	return d.bad + " is not a duration such as 90s or 1h30m"
}

// Amount is a number, or bytes with a unit: 4096, "100MB", "1.5GiB".
type Amount struct {
	Value float64
	bad   string
}

// UnmarshalJSON keeps what is no amount for the check, which knows its name.
func (a *Amount) UnmarshalJSON(data []byte) error {
	var ok bool
	if a.Value, ok = parseAmount(strings.Trim(string(data), `"`)); !ok {
		a.bad = string(data)
	}
	return nil
}

func (a Amount) problem() string {
	if a.bad == "" {
		return ""
	}
	return a.bad + " is not an amount such as 4096, 100MB or 1.5GiB"
}

func parseAmount(text string) (float64, bool) {
	digits := strings.TrimRight(text, "kKMGTPiB")
	power, base := 0, 1000.0
	unit := strings.TrimSuffix(text[len(digits):], "B")
	if strings.HasSuffix(unit, "i") {
		base, unit = 1024, unit[:len(unit)-1]
	}
	switch len(unit) {
	case 0:
	case 1:
		power = strings.Index("kMGTP", strings.Replace(unit, "K", "k", 1)) + 1
	default:
		return 0, false
	}
	n, err := strconv.ParseFloat(digits, 64)
	n *= math.Pow(base, float64(power))
	return n, err == nil && n >= 0 && n <= 1<<62
}

// checkScalars returns the first problem of a duration or amount below v, with
// the path of keys that leads to it.
func checkScalars(path string, v reflect.Value) error {
	if s, ok := v.Interface().(interface{ problem() string }); ok && !isNilPointer(v) {
		if p := s.problem(); p != "" {
			return fmt.Errorf("%s: %s", path, p)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return checkScalars(path, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := checkScalars(fmt.Sprintf("%s[%d]", path, i), v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			if err := checkScalars(below(path, f.Tag.Get("json")), v.Field(i)); err != nil {
				return err
			}
		}
	default:
	}
	return nil
}

func isNilPointer(v reflect.Value) bool { return v.Kind() == reflect.Pointer && v.IsNil() }

// below joins the name of a key to its parent's.
func below(path, key string) string {
	if path == "" || key == "" {
		return path + key
	}
	return path + "." + key
}
