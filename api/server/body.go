package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"

	"github.com/holdfast-cluster/holdfast/api"
)

// decode reads the request's JSON body strictly: an unknown field, a wrong
// type or a second value is refused, and named. An empty body is an object
// without fields if that is allowed.
func (x *exchange) decode(into any, emptyAllowed bool) error {
	return decodeStrict(x.body, into, emptyAllowed, x.fields)
}

func decodeStrict(body []byte, into any, emptyAllowed bool, fields *fieldTable) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		if emptyAllowed {
			return nil
		}
		return api.InvalidField("body", "the request needs a JSON object as its body")
	}
	if body[0] != '{' {
		return api.InvalidField("body", "the body must be a JSON object")
	}
	err := unmarshalStrict(body, into)
	if err == nil {
		return checkKeys(body, reflect.TypeOf(into), fields)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, errTrailing) || errors.Is(err, io.ErrUnexpectedEOF) {
		return api.InvalidField("body", "the body is not valid JSON: %v", err)
	}
	field, err := blame(body, reflect.TypeOf(into).Elem(), "", err)
	return api.InvalidField(field, "%s: %s", field, words(err))
}

var errTrailing = errors.New("something follows the object")

func unmarshalStrict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err //nolint:wrapcheck // it is put into words above
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errTrailing
	}
	return nil
}

// depthMax is how deep a body may be nested. The deepest that we know, a chain
// as GET shows it, has six levels.
const depthMax = 32

// keyCheck refuses what encoding/json lets pass: a key in another letter case,
// one that is given twice, and a body that is nested without end. It walks a
// valid value.
type keyCheck struct {
	dec    *json.Decoder
	fields *fieldTable
	path   []any // to where it is: keys, and indices of lists
}

func checkKeys(body []byte, t reflect.Type, fields *fieldTable) error {
	k := &keyCheck{dec: json.NewDecoder(bytes.NewReader(body)), fields: fields}
	return k.value(t)
}

// refuse names where it is. The path is put together here only, for a body may
// have long keys and many values beneath them.
func (k *keyCheck) refuse(why string) error {
	var at strings.Builder
	for i, step := range k.path {
		switch name, isKey := step.(string); {
		case !isKey:
			fmt.Fprintf(&at, "[%d]", step)
		case i > 0:
			fmt.Fprintf(&at, ".%.60s", name)
		default:
			fmt.Fprintf(&at, "%.60s", name)
		}
	}
	return api.InvalidField(at.String(), "%s: %s", at.String(), why)
}

// value checks the next value; t is nil where any will do.
func (k *keyCheck) value(t reflect.Type) error {
	if len(k.path) > depthMax {
		return k.refuse("nested too deeply")
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	start, err := k.dec.Token()
	if err != nil {
		return err //nolint:wrapcheck // not possible: it was read before
	}
	switch start {
	case json.Delim('['):
		if t != nil && t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		at := len(k.path)
		for i := 0; k.dec.More(); i++ {
			k.path = append(k.path[:at], i)
			if err := k.value(t); err != nil {
				return err
			}
		}
		k.path = k.path[:at]
	case json.Delim('{'):
		if err := k.object(t); err != nil {
			return err
		}
	default:
		return nil
	}
	_, err = k.dec.Token()
	return err //nolint:wrapcheck // as above
}

// object checks the inside of an object.
func (k *keyCheck) object(t reflect.Type) error {
	isStruct := t != nil && t.Kind() == reflect.Struct
	var fields map[string]reflect.Type
	if isStruct {
		fields = k.fields.of(t)
	}
	seen := map[string]bool{}
	at := len(k.path)
	for k.dec.More() {
		token, err := k.dec.Token()
		if err != nil {
			return err //nolint:wrapcheck // as above
		}
		name, _ := token.(string)
		k.path = append(k.path[:at], name)
		field := fields[name]
		switch {
		case isStruct && field == nil:
			return k.refuse("there is no such field")
		case seen[name]:
			return k.refuse("given twice")
		}
		seen[name] = true
		if err := k.value(field); err != nil {
			return err
		}
	}
	k.path = k.path[:at]
	return nil
}

// fieldTable remembers the fields of the types that bodies are read into. They
// are few and never change.
type fieldTable struct{ known sync.Map } // reflect.Type to map[string]reflect.Type

func (f *fieldTable) of(t reflect.Type) map[string]reflect.Type {
	known, ok := f.known.Load(t)
	if !ok {
		known, _ = f.known.LoadOrStore(t, fieldsOf(t))
	}
	return known.(map[string]reflect.Type) //nolint:errcheck,forcetypeassert // nothing else is put there
}

// fieldsOf returns the types of a struct's fields by their names in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			out[name] = f.Type
		}
	}
	return out
}

// blame finds the field that makes data unfit for t by trying each alone, and
// returns its path with the error. It costs nothing while requests are good.
func blame(data []byte, t reflect.Type, path string, err error) (string, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(data, &items) == nil {
			for i, item := range items {
				if e := unmarshalStrict(item, reflect.New(t.Elem()).Interface()); e != nil {
					return blame(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i), e)
				}
			}
		}
	case reflect.Struct:
		return blameField(data, t, path, err)
	default:
	}
	if path == "" {
		path = "body"
	}
	return path, err
}

func blameField(data []byte, t reflect.Type, path string, err error) (string, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return path, err
	}
	for _, name := range sortedNames(fields) {
		one, _ := json.Marshal(map[string]json.RawMessage{name: fields[name]}) //nolint:errchkjson // it has just been read
		e := unmarshalStrict(one, reflect.New(t).Interface())
		if e == nil {
			continue
		}
		sub := strings.TrimPrefix(path+"."+name, ".")
		if ft := fieldsOf(t)[name]; ft != nil {
			return blame(fields[name], ft, sub, e)
		}
		return sub, e
	}
	return path, err
}

// words puts an error of encoding/json into words for people.
func words(err error) string {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return fmt.Sprintf("a JSON %s does not fit, %s is needed", kind.Value, kindWord(kind.Type))
	case strings.HasPrefix(err.Error(), "json: unknown field"):
		return "there is no such field"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func kindWord(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float64:
		return "a number"
	case reflect.Uint64:
		return "a whole number from 0 up"
	default:
		return "a whole number"
	}
}
