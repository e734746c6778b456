package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// configFlag names the flag, and the variable, of the settings' file.
const configFlag = "config"

// settle gives each flag that is not on the command line the value of its
// environment variable HOLDFAST_<FLAG>, or else of its key in the file that
// --config names. Flag goes before environment, environment before file, file
// before default.
func (p *program) settle(flags *pflag.FlagSet) error {
	file, err := p.readSettings(flags)
	if err != nil {
		return err
	}
	var firstErr error
	flags.VisitAll(func(f *pflag.Flag) {
		if firstErr != nil || f.Changed || f.Name == "help" {
			return
		}
		if value, ok := p.env(variable(f.Name)); ok {
			if err := flags.Set(f.Name, value); err != nil {
				firstErr = usage("%s: %w", variable(f.Name), inWords(err))
			}
			return
		}
		if values, ok := file.values[f.Name]; ok {
			if err := setFlag(flags, f, values); err != nil {
				firstErr = usage("%s: %s: %w", file.path, f.Name, inWords(err))
			}
		}
	})
	return firstErr
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "HOLDFAST_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// badValue returns the error of a value that its flag does not take, or nil.
func badValue(err error) *pflag.InvalidValueError {
	bad, _ := errors.AsType[*pflag.InvalidValueError](err)
	return bad
}

// inWords says what is wrong with a flag's value without the words of the
// parser; who names the flag or the variable is the caller.
func inWords(err error) error {
	bad := badValue(err)
	if bad == nil {
		return err
	}
	wanted, ok := map[string]string{
		"int": "a whole number", "int64": "a whole number", "uint64": "a whole number from 0", "float64": "a number",
		"bool": "true or false", "duration": "a duration such as 30s",
	}[bad.GetFlag().Value.Type()]
	if !ok {
		return fmt.Errorf("%q: %w", bad.GetValue(), bad.Unwrap())
	}
	return fmt.Errorf("%q is not %s", bad.GetValue(), wanted)
}

// setFlag sets a flag to the values of a file: one, unless it is a list.
func setFlag(flags *pflag.FlagSet, f *pflag.Flag, values []string) error {
	if l, ok := f.Value.(pflag.SliceValue); ok {
		f.Changed = true
		return l.Replace(values)
	}
	if len(values) != 1 {
		return fmt.Errorf("one value is wanted, not a list")
	}
	return flags.Set(f.Name, values[0])
}

// settings is a file of settings: for each flag its values.
type settings struct {
	path   string
	values map[string][]string
}

// readSettings reads the file that --config or its variable names, if any.
// Every key must be a flag.
func (p *program) readSettings(flags *pflag.FlagSet) (settings, error) {
	path, _ := flags.GetString(configFlag) // it is a string by construction
	if value, ok := p.env(variable(configFlag)); ok && !flags.Changed(configFlag) {
		path = value
	}
	if path == "" {
		return settings{}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return settings{}, usage("--config: %w", err)
	}
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return settings{}, usage("--config: %s: %w", path, err)
	}
	var keys map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&keys); err != nil {
		return settings{}, usage("--config: %s is not a mapping of flags to values", path)
	}
	s := settings{path: path, values: map[string][]string{}}
	for key, value := range keys {
		if flags.Lookup(key) == nil || key == configFlag || key == "help" {
			return settings{}, usage("--config: %s: %q is no flag of this command", path, key)
		}
		if s.values[key], err = words(value); err != nil {
			return settings{}, usage("--config: %s: %s: %w", path, key, err)
		}
	}
	return s, nil
}

// words turns a value of a file into what would stand on the command line. A
// mapping becomes KEY=VALUE words.
func words(value any) ([]string, error) {
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case json.Number:
		return []string{v.String()}, nil
	case bool:
		return []string{strconv.FormatBool(v)}, nil
	case []any:
		var all []string
		for _, item := range v {
			one, err := words(item)
			if err != nil || len(one) != 1 {
				return nil, fmt.Errorf("a list may hold words only")
			}
			all = append(all, one...)
		}
		return all, nil
	case map[string]any:
		var all []string
		for key, item := range v {
			one, err := words(item)
			if err != nil || len(one) != 1 {
				return nil, fmt.Errorf("%s: one word is wanted", key)
			}
			all = append(all, key+"="+one[0])
		}
		slices.Sort(all)
		return all, nil
	}
	return nil, fmt.Errorf("a value is missing")
}
