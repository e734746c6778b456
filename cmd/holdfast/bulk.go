package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/placement"
)

// How `chain create --file` cuts its work. A request of so many chains is one
// entry of the log as a rule, and two at a time let one be read while the other
// is committed; more only make the memory grow.
const (
	bulkChains   = 4000
	bulkBytesMax = api.BatchBodyBytesMax / 2
	bulkParallel = 2
	bulkLineMax  = 1 << 20
	bulkTimeout  = 30 * time.Second // of one request: it waits for the ones before it
	bulkNamed    = 3                // ids shown of those refused alike
)

const bulkHelp = `Creates a chain, or with --file many: one a line, an id alone or {"id":"web","spec":{"desired":2}},
with the spec as the API has it; "-" is the standard input, and lines that are empty or begin with # are passed over.
What a line does not say is taken from the flags. Chains that exist are left as they are, so a file may be
sent again; of two lines with one id either may come first. A line that cannot be read ends the work: what is
before it is sent, nothing from there on.`

// bulk is one run of `chain create --file`.
type bulk struct {
	s     *session
	lines *chainLines
	why   string
	bar   *progress
	done  bulkSummary
	read  error // that ended the reading
	sent  error // that ended the sending
}

// bulkSummary is what has become of the chains, as -o json shows it.
type bulkSummary struct {
	Created  int          `json:"created"`
	Existing int          `json:"existing"`
	Refused  []*bulkFault `json:"refused"`
	Seconds  float64      `json:"seconds"`
}

// bulkFault is the chains that were refused alike.
type bulkFault struct {
	Code   string   `json:"code"`
	Count  int      `json:"count"`
	IDs    []string `json:"ids"` // the first of them
	Detail string   `json:"detail"`
}

// bulkAnswer is what came of one request.
type bulkAnswer struct {
	size    int64 // of its lines
	results []api.BatchResult
	err     error
}

// createMany creates the chains that a file names.
func (s *session) createMany(cmd *cobra.Command, file, why string, flags *specValues) error {
	var spec api.Spec
	if err := flags.change(cmd, &spec); err != nil {
		return err
	}
	in, name := s.p.stdin, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return usage("--file: %w", err)
		}
		defer f.Close()
		in, name = f, file
	}
	b := &bulk{s: s, why: why, lines: newChainLines(in, name, &spec), bar: s.p.progress(in)}
	if s.json {
		b.bar = nil
	}
	began := time.Now()
	b.run(cmd.Context())
	b.bar.clear()
	b.done.Seconds = time.Since(began).Seconds()
	if err := b.print(); err != nil {
		return err
	}
	return b.outcome()
}

// run reads the lines and sends them, and returns when every request has been
// answered. Each has an idempotency key of its own, so one that is sent again
// after a failover is applied once.
func (b *bulk) run(ctx context.Context) {
	answers, open := make(chan bulkAnswer), 0
	for b.read == nil && b.sent == nil {
		var items []api.BatchItem
		var size int64
		if items, size, b.read = b.lines.batch(); len(items) == 0 {
			break
		}
		if open == bulkParallel {
			b.take(<-answers)
			open--
		}
		open++
		go func() {
			results, err := b.s.PutChains(ctx, items, client.CreateOnly(), client.Because(b.why), client.Within(bulkTimeout))
			answers <- bulkAnswer{size, results, err}
		}()
	}
	for ; open > 0; open-- {
		b.take(<-answers)
	}
}

func (b *bulk) take(a bulkAnswer) {
	if b.sent == nil {
		b.sent = a.err
	}
	for i := range a.results {
		switch r := &a.results[i]; api.Code(r.Code) {
		case "":
			b.done.Created++
		case api.Exists:
			b.done.Existing++
		default:
			b.refused(r)
		}
	}
	b.bar.add(len(a.results), a.size)
}

func (b *bulk) refused(r *api.BatchResult) {
	i := slices.IndexFunc(b.done.Refused, func(f *bulkFault) bool { return f.Code == string(r.Code) })
	if i < 0 {
		i = len(b.done.Refused)
		b.done.Refused = append(b.done.Refused, &bulkFault{Code: string(r.Code), Detail: string(r.Detail)})
	}
	f := b.done.Refused[i]
	if f.Count++; len(f.IDs) < bulkNamed {
		f.IDs = append(f.IDs, r.ID)
	}
}

func (b *bulk) print() error {
	d := &b.done
	slices.SortFunc(d.Refused, func(x, y *bulkFault) int { return cmp.Compare(y.Count, x.Count) })
	if b.s.json {
		d.Refused = append([]*bulkFault{}, d.Refused...)
		return json.NewEncoder(b.s.p.stdout).Encode(d)
	}
	return b.s.print(func(w io.Writer) {
		fmt.Fprintf(w, "created\t%d\tin %.1fs, %.0f a second\n", d.Created, d.Seconds, float64(d.Created)/max(d.Seconds, 0.001))
		if d.Existing > 0 {
			fmt.Fprintf(w, "existing\t%d\tleft as they are\n", d.Existing)
		}
		for _, f := range d.Refused {
			more := ""
			if f.Count > len(f.IDs) {
				more = ", …"
			}
			fmt.Fprintf(w, "refused\t%d\t%s: %s%s\n", f.Count, f.Code, strings.Join(f.IDs, ", ")+more, dashed(f.Detail))
		}
	})
}

// dashed puts a detail behind what it belongs to.
func dashed(detail string) string {
	if detail == "" {
		return ""
	}
	return " (" + detail + ")"
}

// outcome returns what the command fails with, nil when every chain is there.
func (b *bulk) outcome() error {
	n := 0
	for _, f := range b.done.Refused {
		n += f.Count
	}
	switch {
	case b.sent != nil:
		return fmt.Errorf("%w; not all is sent: send it again, what exists is left as it is", b.sent)
	case !errors.Is(b.read, io.EOF):
		return b.read
	case n > 0:
		return api.NewProblem(api.Code(b.done.Refused[0].Code), "%d of %d chains were refused", n, n+b.done.Created+b.done.Existing)
	}
	return nil
}

// chainLines reads chains, one a line.
type chainLines struct {
	scan *bufio.Scanner
	name string
	line int
	spec *api.Spec // what a line does not say
	more int64     // bytes that it adds to a line
}

func newChainLines(in io.Reader, name string, spec *api.Spec) *chainLines {
	text, _ := json.Marshal(spec) //nolint:errchkjson // flags and texts
	l := &chainLines{scan: bufio.NewScanner(in), name: name, spec: spec, more: int64(len(text))}
	l.scan.Buffer(make([]byte, 64<<10), bulkLineMax)
	return l
}

// batch returns the next chains, and the bytes that they took to read. The
// error that ended the reading comes with the chains before it: [io.EOF], or
// one that names the line.
func (l *chainLines) batch() (items []api.BatchItem, size int64, err error) {
	for len(items) < bulkChains && size+int64(len(items))*l.more < bulkBytesMax {
		if !l.scan.Scan() {
			return items, size, l.ended()
		}
		l.line++
		size += int64(len(l.scan.Bytes())) + 1
		text := bytes.TrimSpace(l.scan.Bytes())
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		item, err := readChainLine(text)
		if err != nil {
			return items, size, usage("%s, line %d: %w; nothing from there on is sent", l.name, l.line, err)
		}
		fill(&item.Spec, l.spec)
		items = append(items, item)
	}
	return items, size, nil
}

func (l *chainLines) ended() error {
	switch err := l.scan.Err(); {
	case err == nil:
		return io.EOF
	case errors.Is(err, bufio.ErrTooLong):
		return usage("%s, line %d: longer than %d bytes; one line holds one chain", l.name, l.line+1, bulkLineMax)
	default:
		return fmt.Errorf("reading %s after line %d: %w", l.name, l.line, err)
	}
}

// readChainLine reads an id, or an object as an item of the API's batch.
func readChainLine(text []byte) (item api.BatchItem, err error) {
	if text[0] != '{' {
		item.ID = string(text)
	} else {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&item); err != nil {
			return item, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "json: "))
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return item, errors.New("something follows the object; one line holds one chain")
		}
	}
	if _, err := placement.ParseChainID(item.ID); err != nil {
		return item, fmt.Errorf(`%w; a line is an id alone or an object such as {"id":"web","spec":{"desired":2}}`, err)
	}
	return item, nil
}

// fill sets the fields of a spec that say nothing to those of another.
func fill(spec, from *api.Spec) {
	to, by := reflect.ValueOf(spec).Elem(), reflect.ValueOf(from).Elem()
	for i := range to.NumField() {
		if f := to.Field(i); f.IsZero() {
			f.Set(by.Field(i))
		}
	}
}
