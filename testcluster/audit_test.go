package testcluster

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// entry is a log entry that only advances time, to that second.
func entry(t *testing.T, now placement.Time) []byte {
	t.Helper()
	data, err := fsm.EncodeBatch(fsm.Batch{Level: 1, Now: now * placement.Time(time.Second), Wall: time.Unix(1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Each way in which nodes can apply different histories is a breach with the
// name of its invariant; replays and gaps are none. Only the first is reported.
func TestAudit(t *testing.T) {
	type step struct {
		node        string
		index, term uint64
		now         placement.Time
	}
	history := []step{{"a", 1, 1, 1}, {"b", 1, 1, 1}, {"a", 2, 1, 2}, {"a", 5, 2, 5}}
	cases := []struct {
		name string
		then []step
		want string // "" = no breach
	}{
		{"follows", []step{{"b", 2, 1, 2}, {"b", 5, 2, 5}, {"b", 6, 2, 6}}, ""},
		{"snapshot skips", []step{{"b", 5, 2, 5}, {"b", 7, 2, 7}, {"a", 7, 2, 7}}, ""},
		{"replays", []step{{"a", 1, 1, 1}, {"a", 2, 1, 2}}, ""},
		{"other bytes", []step{{"b", 2, 1, 3}}, "same-state"},
		{"other term", []step{{"b", 2, 2, 2}}, "one-leader"},
		{"never committed", []step{{"b", 3, 1, 3}}, "same-state"},
		{"term goes back", []step{{"b", 6, 1, 6}}, "one-leader"},
		{"twice", []step{{"b", 2, 2, 2}, {"b", 2, 1, 3}}, "one-leader"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			a := newAudit(func(err error) { got = append(got, err.Error()) })
			for _, s := range append(history[:len(history):len(history)], tc.then...) {
				a.observer(s.node, fsm.New().View)(s.index, s.term, entry(t, s.now))
			}
			if tc.want == "" && len(got) != 0 || tc.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tc.want)) {
				t.Errorf("got %q, want one breach of %q", got, tc.want)
			}
		})
	}
}

// An entry that the state machine or an invariant refuses is a breach.
func TestAuditAsksTheChecker(t *testing.T) {
	var got error
	a := newAudit(func(err error) { got = err })
	a.observer("a", fsm.New().View)(1, 1, []byte("no entry"))
	if got == nil {
		t.Error("an entry that is none was taken")
	}
}

// Nodes whose states differ after the same entry are seen, at the next entry or
// when they are asked; nodes at different entries are not compared.
func TestAuditComparesStates(t *testing.T) {
	machine := func(entries ...placement.Time) *fsm.Machine {
		m := fsm.New()
		for i, now := range entries {
			if _, err := m.Apply(uint64(i+1), 1, entry(t, now)); err != nil {
				t.Fatal(err)
			}
		}
		return m
	}
	var got error
	a := newAudit(func(err error) { got = err })
	for i, m := range []*fsm.Machine{machine(1), machine(1), machine(1, 5), machine(1, 5)} {
		if a.report(a.state("good", m.View())); got != nil {
			t.Fatalf("state %d: %v", i, got)
		}
	}
	a.report(a.state("bad", machine(2, 6).View()))
	if got == nil || !strings.HasPrefix(got.Error(), "same-state") {
		t.Errorf("a state that differs: got %v", got)
	}
}

// Two leaders of one term are seen, at the same time or one after the other; a
// claim of an instant, of a node that is stepping down, does not count.
func TestReigns(t *testing.T) {
	claims := func(pairs ...any) map[string]uint64 {
		m := map[string]uint64{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = uint64(pairs[i+1].(int))
		}
		return m
	}
	cases := []struct {
		name  string
		looks []map[string]uint64
		want  bool // a breach
	}{
		{"one", []map[string]uint64{claims("a", 1), claims("a", 1), claims("b", 2), claims("b", 2)}, false},
		{"old and new", []map[string]uint64{claims("a", 1), claims("a", 1, "b", 2), claims("a", 1, "b", 2)}, false},
		{"an instant", []map[string]uint64{claims("a", 1), claims("a", 2, "b", 2), claims("b", 2), claims("b", 2)}, false},
		{"together", []map[string]uint64{claims("a", 2, "b", 2), claims("a", 2, "b", 2)}, true},
		{"in turn", []map[string]uint64{claims("a", 2), claims("a", 2), claims("b", 2), claims("b", 2)}, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r, broken := newReigns(), false
			for _, look := range tc.looks {
				broken = broken || r.look(look) != nil
			}
			if broken != tc.want {
				t.Errorf("a breach was seen: %t, want %t", broken, tc.want)
			}
		})
	}
}
