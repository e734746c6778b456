package lincheck

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// A Violation is something that no cluster which keeps its promises shows.
type Violation struct {
	Rule string
	Text string
}

// String is the violation in one line or two.
func (v Violation) String() string { return v.Rule + ": " + v.Text }

// Verdict is the outcome of [Check].
type Verdict struct {
	Violations []Violation
	Porcupine  porcupine.CheckResult
	Ordered    int           // operations that porcupine had to order
	Took       time.Duration // that porcupine took
	info       porcupine.LinearizationInfo
}

// Draw writes porcupine's picture of the history as an HTML file.
func (v *Verdict) Draw(path string) error {
	if err := porcupine.VisualizePath(model(), v.info, path); err != nil {
		return fmt.Errorf("drawing a history: %w", err)
	}
	return nil
}

// Options say what a history has to keep beside the rules that always hold.
type Options struct {
	// Undisturbed: no node was paused or cut off, so reads of consistency
	// leader see what their client has written, and no node takes itself for the
	// leader when another one is (rule S21).
	Undisturbed bool
	// Patience is how long porcupine may search. Default 1 min.
	Patience time.Duration
}

// Check judges a history.
func Check(ops []Op, o Options) Verdict {
	c := &checker{ops: slices.Clone(ops)}
	slices.SortStableFunc(c.ops, func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
	c.realTime()
	c.values()
	c.revisions()
	c.monotonic()
	c.headers()
	c.blocking(o.Undisturbed)
	if o.Undisturbed {
		c.readYourWrite()
	}
	began := time.Now()
	v := Verdict{Ordered: len(prepare(c.ops))}
	v.Porcupine, v.info = order(c.ops, cmp.Or(o.Patience, time.Minute))
	v.Took = time.Since(began)
	switch v.Porcupine {
	case porcupine.Ok:
	case porcupine.Illegal:
		c.found("linearizable", "no order of the writes and the linearizable reads explains their answers; the picture shows how far one gets")
	default:
		c.found("linearizable", "porcupine found no verdict within %v over %d operations", v.Took, v.Ordered)
	}
	v.Violations = c.list
	return v
}

// checker walks through a history, ordered by call.
type checker struct {
	ops  []Op
	list []Violation
}

func (c *checker) found(rule, format string, args ...any) {
	c.list = append(c.list, Violation{rule, fmt.Sprintf(format, args...)})
}

// mark is the newest state that some operation has shown, at its return.
type mark struct {
	revision uint64
	op       *Op
}

// overtaken walks through the operations by call and reports each one checked
// whose revision lies below that of one told, of the same group, that had
// returned before it was called.
func (c *checker) overtaken(rule string, told, checked func(*Op) (group string, ok bool)) {
	var ends []*Op
	for i := range c.ops {
		if o := &c.ops[i]; o.Return != Never {
			if _, ok := told(o); ok {
				ends = append(ends, o)
			}
		}
	}
	slices.SortFunc(ends, func(a, b *Op) int { return cmp.Compare(a.Return, b.Return) })
	newest := map[string]mark{}
	for i := range c.ops {
		o := &c.ops[i]
		for ; len(ends) > 0 && ends[0].Return < o.Call; ends = ends[1:] {
			e := ends[0]
			if group, _ := told(e); e.Answer.Revision > newest[group].revision {
				newest[group] = mark{e.Answer.Revision, e}
			}
		}
		group, ok := checked(o)
		if m := newest[group]; ok && o.Answer.Revision < m.revision {
			c.found(rule, "%v\n\tis older than what was answered before it was sent: %v", o, m.op)
		}
	}
}

// realTime: what is acknowledged or read with consistency linearizable is not
// older than any such answer that came before it was sent.
func (c *checker) realTime() {
	current := func(o *Op) (string, bool) {
		return "", o.Result == OK && o.Answer.Revision != 0 && (o.writes() || o.Level == "linearizable")
	}
	c.overtaken("real-time", current, current)
}

// readYourWrite: a client's reads of consistency leader show its writes.
func (c *checker) readYourWrite() {
	of := func(o *Op) string { return strconv.Itoa(o.Client) }
	c.overtaken("read-your-write",
		func(o *Op) (string, bool) { return of(o), o.acked() },
		func(o *Op) (string, bool) { return of(o), o.Level == "leader" && o.Result == OK })
}

// monotonic: the stale reads that one process of a node answers do not go back.
func (c *checker) monotonic() {
	stale := func(o *Op) (string, bool) {
		return fmt.Sprint(o.Node, "/", o.Life), o.Life != 0 && o.Level == "stale" && o.Result == OK
	}
	c.overtaken("monotonic", stale, stale)
}

// values: what is read was written before, by a write that was not refused; no
// value has two generations, and no generation two values.
func (c *checker) values() {
	writers := map[string]*Op{}
	for i := range c.ops {
		if o := &c.ops[i]; o.writes() && o.Value != "" {
			writers[o.Chain+" "+o.Value] = o
		}
	}
	byValue, byGen := map[string]*Op{}, map[uint64]*Op{}
	for i := range c.ops {
		o := &c.ops[i]
		if o.Result != OK {
			continue
		}
		for _, value := range []string{o.Answer.Value, o.Answer.Content} {
			w := writers[o.Chain+" "+value]
			switch {
			case value == "":
			case w == nil || w.Call > o.Return:
				c.found("invented", "%v\n\tshows a value that nobody has written there", o)
			case w.Result == Refused || w.Result == Failed:
				c.found("refused-then-seen", "%v\n\tshows a value whose write was refused: %v", o, w)
			}
		}
		if o.Answer.Value == "" || o.Answer.Generation == 0 {
			continue
		}
		if first := byValue[o.Chain+" "+o.Answer.Value]; first == nil {
			byValue[o.Chain+" "+o.Answer.Value] = o
		} else if first.Answer.Generation != o.Answer.Generation {
			c.found("applied-twice", "%v\n\tgives the value another generation than %v", o, first)
		}
		if first := byGen[o.Answer.Generation]; first == nil {
			byGen[o.Answer.Generation] = o
		} else if first.Chain != o.Chain || first.Answer.Value != o.Answer.Value {
			c.found("repeated", "%v\n\tgives the generation another value than %v", o, first)
		}
	}
}

// revisions: a read shows what the acknowledged writes up to its revision left.
func (c *checker) revisions() {
	chains := map[string]*timeline{}
	for i := range c.ops {
		o := &c.ops[i]
		t := chains[o.Chain]
		if t == nil {
			t = &timeline{stores: map[string]*Op{}}
			chains[o.Chain] = t
		}
		t.deleted = t.deleted || o.Kind == Delete
		switch {
		case o.Kind == PutContent:
			t.stores[o.Value] = o
		case o.Kind == Delete && o.Result == Unknown:
			t.loose = append(t.loose, o)
		case o.acked() && o.Answer.Revision != 0:
			t.acked = append(t.acked, o)
		}
	}
	for _, t := range chains {
		slices.SortFunc(t.acked, func(a, b *Op) int { return cmp.Compare(a.Answer.Revision, b.Answer.Revision) })
	}
	for i := range c.ops {
		if o := &c.ops[i]; !o.writes() && o.Result == OK {
			if before := cmp.Or(chains[o.Chain].contradicts(o), chains[o.Chain].otherContent(o)); before != nil {
				c.found("its-revision", "%v\n\tdoes not show what was acknowledged at a revision up to its own: %v", o, before)
			}
		}
	}
}

// timeline is what is known for certain of the history of one chain.
type timeline struct {
	acked   []*Op          // acknowledged puts and deletes, by revision
	loose   []*Op          // deletes that may have happened at any time after their call
	stores  map[string]*Op // writes of contents, by value
	deleted bool           // it may have been
}

// otherContent returns the last content acknowledged up to the read's revision
// if the read shows none, an older one, or one of a later revision.
func (t *timeline) otherContent(read *Op) *Op {
	a := read.Answer
	var last *Op
	for _, o := range t.stores {
		if o.acked() && o.Answer.Revision != 0 && o.Answer.Revision <= a.Revision && (last == nil || o.Answer.Revision > last.Answer.Revision) {
			last = o
		}
	}
	shown := t.stores[a.Content]
	vague := shown != nil && (!shown.acked() || shown.Answer.Revision == 0)
	if last == nil || shown == last || vague || t.deleted || !a.Exists {
		return nil
	}
	return last
}

// contradicts returns an acknowledged write that the read should show, or
// something later, and does not. At least the revision of a write's answer
// is that of its effect, so a write above the read's revision says nothing.
func (t *timeline) contradicts(read *Op) *Op {
	a := read.Answer
	if read.Kind == ReadContent && a.Exists {
		return nil // it does not say which generation
	}
	if a.Exists && a.Generation > a.Revision {
		return read
	}
	n, exact := slices.BinarySearchFunc(t.acked, a.Revision, func(o *Op, r uint64) int { return cmp.Compare(o.Answer.Revision, r) })
	for exact && n < len(t.acked) && t.acked[n].Answer.Revision == a.Revision {
		n++
	}
	if n == 0 {
		return nil
	}
	last := t.acked[n-1]
	switch {
	case last.Kind == Delete && a.Exists && a.Generation <= last.Answer.Revision,
		last.Kind == Put && a.Exists && a.Generation < last.Answer.Generation:
		return last
	case last.Kind == Put && !a.Exists:
		for _, d := range t.loose {
			if d.Call < read.Return {
				return nil
			}
		}
		return last
	}
	return nil
}

// headers: every read says whether a leader is known and when it was heard of,
// and of which lineage it is.
func (c *checker) headers() {
	lineage := ""
	for i := range c.ops {
		o := &c.ops[i]
		if o.writes() || o.Result != OK {
			continue
		}
		contact, err := time.ParseDuration(o.Answer.LastContact)
		switch known := o.Answer.KnownLeader; {
		case known != "true" && known != "false", err != nil, contact < 0, o.Answer.Lineage == "", o.Answer.Revision == 0:
			c.found("headers", "%v\n\thas Known-Leader %q, Last-Contact %q, Lineage %q", o, known, o.Answer.LastContact, o.Answer.Lineage)
		case lineage != "" && o.Answer.Lineage != lineage:
			c.found("headers", "%v\n\tis of lineage %s, the one before of %s", o, o.Answer.Lineage, lineage)
		}
		lineage = o.Answer.Lineage
	}
}

// blocking: a blocking read that is answered in time is newer than asked. Only
// what a leader has not reached it answers at once, as does a node that has not
// heard yet that it leads no more; a node that ends lets none wait.
func (c *checker) blocking(undisturbed bool) {
	for i := range c.ops {
		o := &c.ops[i]
		a := o.Answer
		leads := !undisturbed || a.KnownLeader == "true" && a.LastContact == "0s"
		if o.Result == OK && o.After != 0 && o.Life != 0 && a.InTime && (a.Revision == o.After || a.Revision < o.After && !leads) {
			c.found("blocking", "%v\n\tis not newer than it was asked to be", o)
		}
	}
}

// Counts tells how many operations ended how, as a table's cells: kinds with
// their number, and outcomes with theirs.
func Counts(ops []Op) (kinds, outcomes string) {
	byKind, byResult := map[string]int{}, map[Outcome]int{}
	for i := range ops {
		kind := string(ops[i].Kind)
		if !ops[i].writes() {
			kind = ops[i].Level
		}
		byKind[kind]++
		byResult[ops[i].Result]++
	}
	var cells []string
	for _, k := range []string{string(Put), string(Delete), string(PutContent), "linearizable", "leader", "stale"} {
		cells = append(cells, strconv.Itoa(byKind[k]))
	}
	var ends []string
	for _, r := range []Outcome{OK, Refused, Failed, Unknown} {
		ends = append(ends, strconv.Itoa(byResult[r]))
	}
	return strings.Join(cells, "/"), strings.Join(ends, "/")
}
