package lincheck

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at is an operation on chain x from one second to another; 0 = never answered.
func at(call, back int64, kind Kind, o Op) Op {
	o.Kind, o.Chain, o.Call, o.Return = kind, "x", call, back
	if back == 0 {
		o.Return = Never
	}
	if o.Result == "" {
		o.Result = OK
	}
	if o.Result == OK && kind == Put {
		o.Answer.Exists, o.Answer.Value = true, o.Value
	}
	if kind == Read || kind == ReadContent {
		o.Answer.Lineage, o.Answer.KnownLeader, o.Answer.LastContact = "l", "true", "1ms"
		if o.Level == "" {
			o.Level = "linearizable"
		}
	}
	return o
}

func put(call, back int64, value string, gen uint64, created bool) Op {
	return at(call, back, Put, Op{Value: value, Answer: Answer{Generation: gen, Revision: gen, Created: created}})
}

func read(call, back int64, value string, gen, revision uint64) Op {
	return at(call, back, Read, Op{Answer: Answer{Exists: gen != 0, Value: value, Generation: gen, Revision: revision}})
}

func stale(o Op, node string, life int) Op {
	o.Level, o.Node, o.Life = "stale", node, life
	return o
}

// lost is a write that nobody was told the outcome of.
func lost(o Op) Op {
	o.Result, o.Return, o.Answer = Unknown, Never, Answer{}
	return o
}

func refusal(o Op, code string) Op {
	o.Result, o.Code, o.Answer = Refused, code, Answer{}
	return o
}

func if_(o Op, gen uint64) Op {
	o.IfGen = gen
	return o
}

func none(o Op) Op {
	o.IfNone = true
	return o
}

func deletion(call, back int64, revision uint64) Op {
	return at(call, back, Delete, Op{Answer: Answer{Revision: revision}})
}

func content(call, back int64, sha, ifSHA string, revision uint64) Op {
	return at(call, back, PutContent, Op{Value: sha, IfSHA: ifSHA, Answer: Answer{Revision: revision, Content: sha}})
}

func shows(o Op, sha string) Op {
	o.Answer.Content = sha
	return o
}

func bytesOf(sha string, revision uint64) Op {
	return at(7, 8, ReadContent, Op{Answer: Answer{Exists: true, Content: sha, Revision: revision}})
}

func by(o Op, client int) Op {
	o.Client = client
	return o
}

// TestVerdicts: a history that a correct cluster can have produced passes;
// each of the others, which none can, is found by the checks named, and by no
// other.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name  string
		ops   []Op
		rules string
	}{
		{"one after the other", []Op{put(1, 2, "a", 5, true), read(3, 4, "a", 5, 5), deletion(5, 6, 8), read(7, 8, "", 0, 8)}, ""},
		{"overlapping writes take either order", []Op{put(1, 5, "a", 5, true), put(2, 4, "b", 4, false), read(6, 7, "a", 5, 6)}, "linearizable"},
		{"the one that came first has created it", []Op{put(1, 5, "a", 5, false), put(2, 4, "b", 4, true), read(6, 7, "a", 5, 6)}, ""},
		{"a lost write is seen late", []Op{put(1, 2, "a", 5, true), lost(put(3, 0, "b", 0, false)), read(4, 5, "a", 5, 5), read(6, 7, "b", 6, 6)}, ""},
		{"a lost write is never seen", []Op{put(1, 2, "a", 5, true), lost(put(3, 0, "b", 0, false)), read(4, 5, "a", 5, 5)}, ""},
		{"a lost write makes a condition fail", []Op{put(1, 2, "a", 5, true), lost(put(3, 0, "b", 0, false)), refusal(if_(put(4, 5, "c", 0, false), 5), "stale-generation")}, ""},
		{"a lost write is seen and unseen", []Op{put(1, 2, "a", 5, true), lost(put(3, 0, "b", 0, false)), read(4, 5, "b", 6, 6), read(6, 7, "a", 5, 6)}, "linearizable"},
		{"a lost deletion", []Op{put(1, 2, "a", 5, true), lost(deletion(3, 0, 0)), read(4, 5, "", 0, 6)}, ""},
		{"a condition holds", []Op{put(1, 2, "a", 5, true), if_(put(3, 4, "b", 6, false), 5), read(5, 6, "b", 6, 6)}, ""},
		{"a condition fails", []Op{put(1, 2, "a", 5, true), refusal(if_(put(3, 4, "b", 0, false), 4), "stale-generation"), refusal(none(put(5, 6, "c", 0, false)), "exists")}, ""},
		{"contents", []Op{put(1, 2, "a", 5, true), content(3, 4, "s", "", 6), content(5, 6, "t", "s", 7), refusal(content(7, 8, "u", "s", 0), "stale-content"), shows(read(9, 10, "a", 5, 7), "t")}, ""},
		{"a stale read may be old", []Op{put(1, 2, "a", 5, true), put(3, 4, "b", 6, false), stale(read(5, 6, "a", 5, 5), "n1", 1)}, ""},
		{"another process of the node may be older", []Op{put(1, 2, "a", 5, true), put(3, 4, "b", 6, false), stale(read(5, 6, "b", 6, 6), "n1", 1), stale(read(7, 8, "a", 5, 5), "n1", 2)}, ""},

		{"an acknowledged write is missing", []Op{put(1, 2, "a", 5, true), read(3, 4, "", 0, 5)}, "its-revision linearizable"},
		{"an acknowledged write is missing at a lower revision", []Op{put(1, 2, "a", 5, true), read(3, 4, "", 0, 4)}, "real-time linearizable"},
		{"an old value at a new revision", []Op{put(1, 2, "a", 5, true), put(3, 4, "b", 6, false), read(5, 6, "a", 5, 7)}, "its-revision linearizable"},
		{"a deleted chain is back", []Op{put(1, 2, "a", 5, true), deletion(3, 4, 6), read(5, 6, "a", 5, 6)}, "its-revision linearizable"},
		{"two conditions held at once", []Op{put(1, 2, "a", 5, true), if_(put(3, 6, "b", 6, false), 5), if_(put(4, 5, "c", 7, false), 5)}, "linearizable"},
		{"two created it", []Op{none(put(1, 4, "a", 5, true)), none(put(2, 3, "b", 6, true))}, "linearizable"},
		{"a condition failed that held", []Op{put(1, 2, "a", 5, true), refusal(if_(put(3, 4, "b", 0, false), 5), "stale-generation")}, "linearizable"},
		{"a content condition failed that held", []Op{put(1, 2, "a", 5, true), content(3, 4, "s", "", 6), refusal(content(5, 6, "t", "s", 0), "stale-content")}, "linearizable"},
		{"an old content", []Op{put(1, 2, "a", 5, true), content(3, 4, "s", "", 6), content(5, 6, "t", "", 7), shows(read(7, 8, "a", 5, 7), "s")}, "its-revision linearizable"},
		{"an old content at a new revision", []Op{put(1, 2, "a", 5, true), content(3, 4, "s", "", 6), content(5, 6, "t", "", 7), stale(shows(read(7, 8, "a", 5, 7), "s"), "n1", 1)}, "its-revision"},
		{"old bytes at a new revision", []Op{put(1, 2, "a", 5, true), content(3, 4, "s", "", 6), content(5, 6, "t", "", 7), stale(bytesOf("s", 7), "n1", 1)}, "its-revision"},
		{"no content at a new revision", []Op{put(1, 2, "a", 5, true), content(3, 4, "s", "", 6), stale(read(7, 8, "a", 5, 7), "n1", 1)}, "its-revision"},
		{"a new content at an old revision", []Op{put(1, 2, "a", 5, true), content(3, 4, "s", "", 6), content(5, 6, "t", "", 7), stale(bytesOf("t", 6), "n1", 1)}, "its-revision"},
		{"an old content at its revision", []Op{put(1, 2, "a", 5, true), content(3, 4, "s", "", 6), content(5, 6, "t", "", 7), stale(bytesOf("s", 6), "n1", 1)}, ""},
		{"a content whose write was lost", []Op{put(1, 2, "a", 5, true), content(3, 4, "s", "", 6), lost(content(5, 0, "t", "", 0)), stale(bytesOf("t", 7), "n1", 1)}, ""},
		{"the bytes of no chain", []Op{put(1, 2, "a", 5, true), content(3, 4, "s", "", 6), at(7, 8, ReadContent, Op{Answer: Answer{Revision: 6}})}, "its-revision linearizable"},
		{"a generation came again", []Op{put(1, 2, "a", 5, true), deletion(3, 4, 6), put(5, 6, "b", 5, true)}, "real-time linearizable repeated"},
		{"a request was applied twice", []Op{put(1, 2, "a", 5, true), put(3, 4, "b", 6, false), read(5, 6, "a", 7, 7)}, "applied-twice linearizable"},
		{"nobody wrote it", []Op{put(1, 2, "a", 5, true), stale(read(3, 4, "z", 5, 5), "n1", 1)}, "repeated invented"},
		{"it was read before it was written", []Op{stale(read(1, 2, "a", 5, 5), "n1", 1), put(3, 4, "a", 5, true)}, "invented"},
		{"a refused write is there", []Op{put(1, 2, "a", 5, true), refusal(if_(put(3, 4, "b", 0, false), 4), "stale-generation"), stale(read(5, 6, "b", 6, 6), "n1", 1)}, "refused-then-seen"},
		{"a node goes back", []Op{put(1, 2, "a", 5, true), put(3, 4, "b", 6, false), stale(read(5, 6, "b", 6, 6), "n1", 1), stale(read(7, 8, "a", 5, 5), "n1", 1)}, "monotonic"},
		{"its own write is missing", []Op{by(put(1, 2, "a", 5, true), 1), by(func() Op { o := read(3, 4, "", 0, 4); o.Level = "leader"; return o }(), 1)}, "read-your-write"},
		{"another's write may be missing", []Op{by(put(1, 2, "a", 5, true), 1), by(func() Op { o := read(3, 4, "", 0, 4); o.Level = "leader"; return o }(), 2)}, ""},
		{"a blocking read did not wait", []Op{put(1, 2, "a", 5, true), func() Op {
			o := stale(read(3, 4, "a", 5, 5), "n1", 1)
			o.After, o.Answer.InTime = 5, true
			return o
		}()}, "blocking"},
		{"a header is missing", []Op{func() Op { o := read(1, 2, "", 0, 1); o.Answer.LastContact = ""; return o }()}, "headers"},
		{"another lineage", []Op{read(1, 2, "", 0, 1), func() Op { o := read(3, 4, "", 0, 1); o.Answer.Lineage = "m"; return o }()}, "headers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Check(c.ops, Options{Undisturbed: true, Patience: time.Minute})
			rules := map[string]bool{}
			for _, one := range v.Violations {
				rules[one.Rule] = true
			}
			var want []string
			for _, rule := range strings.Fields(c.rules) {
				want = append(want, rule)
				if !rules[rule] {
					t.Errorf("not found: %s", rule)
				}
			}
			if len(rules) != len(want) {
				t.Errorf("found %v, want %v", v.Violations, want)
			}
		})
	}
}

// TestEvidence: a history and its picture are written as files; the history
// reads back as it was.
func TestEvidence(t *testing.T) {
	h := new(History)
	for _, op := range []Op{put(1, 2, "a", 5, true), lost(put(2, 0, "b", 0, false)), read(3, 4, "", 0, 5)} {
		h.Add(op)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "history.json")
	if err := Save(path, h.Ops()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var back []Op
	for dec := json.NewDecoder(f); dec.More(); {
		var op Op
		if err := dec.Decode(&op); err != nil {
			t.Fatal(err)
		}
		back = append(back, op)
	}
	if diff := cmp.Diff(h.Ops(), back); diff != "" {
		t.Errorf("the history reads back otherwise (-written +read):\n%s", diff)
	}

	v := Check(h.Ops(), Options{})
	picture := filepath.Join(dir, "history.html")
	if err := v.Draw(picture); err != nil {
		t.Fatal(err)
	}
	html, err := os.ReadFile(picture)
	if err != nil || !strings.Contains(string(html), "put x a") {
		t.Errorf("the picture does not show the first write (%v)", err)
	}
	if kinds, outcomes := Counts(h.Ops()); kinds != "2/0/0/1/0/0" || outcomes != "2/0/0/1" {
		t.Errorf("counted %s and %s", kinds, outcomes)
	}
}
