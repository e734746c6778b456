package fsm

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/holdfast-cluster/holdfast/placement"
)

// moves lets balance move a copy, from open to gone, and the cooldown pass.
func (r *rig) moves(id placement.ChainID, from, to placement.NodeID) {
	r.Helper()
	r.do(r.move(placement.CauseBalance, id, from, to))
	r.pass(time.Minute)
	r.ready(id, to)
	r.dropped(id, from)
	r.pass(5 * time.Minute)
}

// keepsOff tries the move that balance must not make.
func (r *rig) keepsOff(id placement.ChainID, from, to placement.NodeID) {
	r.Helper()
	res := r.try(r.move(placement.CauseBalance, id, from, to))
	if res.Code != placement.Cooling || !strings.Contains(res.Detail, "off node "+string(to)) {
		r.Fatalf("the way back of %s to %s was answered %q: %s", id, to, res.Code, res.Detail)
	}
}

// S11, no-return: a plan that takes a chain back to where balance moved it
// from is refused until ten cooldowns after the victim's drop. A chain is moved
// twice and tried at each step, the last time at the instant before; a leader
// has been lost and the state restored from a snapshot on the way.
func TestNoReturn(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(1), "a")
	r.moves("x", "a", "b") // the drop of a is 5 min ago
	r.keepsOff("x", "b", "a")
	r.moves("x", "b", "c")
	r.keepsOff("x", "c", "a")
	r.keepsOff("x", "c", "b")
	back := New()
	if err := back.Restore(bytes.NewReader(r.bytes())); err != nil {
		t.Fatal(err)
	}
	r.m, r.term = back, r.term+1
	r.pass(39*time.Minute - 1)
	r.keepsOff("x", "c", "a")
	r.pass(1)
	r.do(r.move(placement.CauseBalance, "x", "c", "a"))
}

// quiet: a copy that is back and is driven away again stays away twice as long
// each time, also after a snapshot, and to a bound. A chain goes to and fro
// between two nodes, as soon as it may.
func TestNoReturnDoubles(t *testing.T) {
	r := newRig(t, "a", "b")
	r.chain("x", spec(1), "a")
	from, to := placement.NodeID("a"), placement.NodeID("b")
	for move := range 24 {
		r.moves("x", from, to) // the drop is 5 min ago
		away := 50 * time.Minute << min(move/2, placement.ReturnDoublings)
		r.pass(away - 5*time.Minute - 1)
		r.keepsOff("x", to, from)
		back := New()
		if err := back.Restore(bytes.NewReader(r.bytes())); err != nil {
			t.Fatal(err)
		}
		r.m = back
		r.pass(1)
		from, to = to, from
	}
}

// quiet: without a cooldown a copy keeps off a node as if the cooldown were a
// second, twice as long each time, so that balance comes to rest there, too.
func TestNoReturnWithoutCooldown(t *testing.T) {
	r := newRig(t, "a", "b")
	none := spec(1)
	none.Cooldown = new(time.Duration)
	r.chain("x", none, "a")
	from, to := placement.NodeID("a"), placement.NodeID("b")
	for move := range 8 {
		r.do(r.move(placement.CauseBalance, "x", from, to))
		r.ready("x", to)
		r.dropped("x", from)
		r.pass(10*time.Second<<(move/2) - 1)
		r.keepsOff("x", to, from)
		r.pass(1)
		from, to = to, from
	}
}

// no-return: it binds balance alone and ends with what made the node
// unattractive. After a move off a, the copy goes back for every other reason,
// and when an operator has changed the node; a change before the move is none.
func TestNoReturnEnds(t *testing.T) {
	for name, end := range map[string]func(*rig){
		"constraint": func(r *rig) { r.do(r.move(placement.CauseConstraint, "x", "b", "a")) },
		"forced": func(r *rig) {
			r.do(&Force{Chain: "x", To: "a"})
			d := r.decision(placement.KindOpenMove, placement.CauseForced, "x", "b", "a")
			d.Forced = r.m.View().Forced[0].ID
			r.do(NewDecide(d))
		},
		"drain": func(r *rig) {
			r.do(&SetEligibility{Node: "b", Eligibility: placement.Draining})
			r.do(r.move(placement.CauseDrain, "x", "b", "a"))
		},
		"repair": func(r *rig) {
			r.do(NewPutChain("x", spec(2)))
			r.do(r.assign("x", "a"))
		},
		"weight": func(r *rig) {
			r.do(&SetWeight{Node: "a", Weight: placement.ScoreOne})
			r.do(r.move(placement.CauseBalance, "x", "b", "a"))
		},
		"uncordoned": func(r *rig) {
			r.do(&SetEligibility{Node: "a", Eligibility: placement.Cordoned})
			r.do(&SetEligibility{Node: "a", Eligibility: placement.Eligible})
			r.do(r.move(placement.CauseBalance, "x", "b", "a"))
		},
		"moved since": func(r *rig) {
			r.do(r.move(placement.CauseConstraint, "x", "b", "c"))
			r.ready("x", "c")
			r.dropped("x", "b")
			r.pass(5 * time.Minute)
			r.do(r.move(placement.CauseBalance, "x", "c", "a"))
		},
		"shorter cooldown": func(r *rig) {
			r.configure(func(c *placement.Config) { c.Cooldown = 30 * time.Second })
			r.do(r.move(placement.CauseBalance, "x", "b", "a"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "a", "b", "c")
			r.chain("x", spec(1), "a")
			r.do(&SetWeight{Node: "a", Weight: 1})
			r.pass(time.Second)
			r.moves("x", "a", "b")
			r.do(&SetWeight{Node: "a", Weight: 1}) // says nothing new
			r.keepsOff("x", "b", "a")
			end(r)
		})
	}
}

// A restored state has each node's name once, also where it says what balance
// has moved off that node: many chains are, and each would keep a copy.
func TestDepartedShareNames(t *testing.T) {
	r := newRig(t, "node-a", "node-b")
	r.chain("x", spec(1), "node-a")
	r.moves("x", "node-a", "node-b")
	v := restored(t, r.bytes())
	d := v.Chain("x").Departed[0]
	for is, id := range map[placement.NodeID]placement.NodeID{d.Node: "node-a", d.Copy: "node-b"} {
		if name := v.Node(id).ID; is != name || unsafe.StringData(string(is)) != unsafe.StringData(string(name)) {
			t.Errorf("%q is another string than %q", is, name)
		}
	}
}
