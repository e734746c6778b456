package cluster

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// lines returns the lines of the log that have all the words.
func (w *world) lines(words ...string) []string {
	w.logs.mu.Lock()
	defer w.logs.mu.Unlock()
	all := strings.Split(strings.TrimRight(w.logs.text.String(), "\n"), "\n")
	return slices.DeleteFunc(all, func(line string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
}

// A cluster that begins as it should, of one or three, warns of nothing, and
// each thing that is said is on one line.
func TestHealthyStartIsCalm(t *testing.T) {
	for _, count := range []int{1, 3} {
		t.Run(strconv.Itoa(count), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.startAll(count, count)
				w.settle(count)
				advance(time.Minute)
				for _, line := range w.lines() {
					if strings.Contains(line, "[WARN]") || strings.Contains(line, "[ERROR]") || !strings.HasPrefix(line, "2") {
						t.Errorf("it said: %s", line)
					}
				}
			})
		})
	}
}

// A node that is no member yet knows its own address, which raft asks for with
// each answer and complains of not getting.
func TestOwnAddressIsKnown(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		node := w.start(1, 3).node
		<-node.Bound()
		advance(time.Second)
		if got, err := (bookOf{node}).ServerAddr(raft.ServerID(node.instance())); err != nil || string(got) != "10.0.0.1:7400" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// What lasts is a warning, but not one with each try: a dead peer is told of about
// once a minute, and so is that a server whose partners are gone is not let in.
func TestWhatLastsIsSaid(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		leader := w.settle(3)
		w.follower(leader).kill()
		advance(10 * time.Minute)
		if got := len(w.lines("[ERROR]", "failed to heartbeat to")); got < 5 || got > 11 {
			t.Errorf("a dead peer is told of %d times in ten minutes", got)
		}
		for _, m := range w.members {
			m.kill()
		}
		w.start(1, 3)
		advance(5 * time.Second)
		const warning = "does not let this node in yet"
		if got := w.lines(warning); len(got) != 0 {
			t.Errorf("too early: %q", got)
		}
		advance(5 * time.Minute)
		if got := len(w.lines("[WARN]", warning)); got < 4 || got > 6 {
			t.Errorf("said %d times in five minutes that it is not let in", got)
		}
	})
}

// A node with another cluster name is told so, with both names, by each seed,
// and the seeds warn too; neither side fills its log.
func TestWrongClusterName(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		w.settle(3)
		w.start(4, 0, joinOnly, func(c *Config) { c.Cluster = "other" })
		advance(10 * time.Second)
		for _, seed := range []string{"n1", "n2", "n3"} {
			address := w.members[seed].node.Address()
			names := []string{"[WARN]", `of cluster \"test\", not \"other\"`}
			if got := w.lines(append(names, "the seed belongs to another cluster: check --cluster and --join", "node=n4", "seed="+address)...); len(got) != 1 {
				t.Errorf("the newcomer says of seed %s: %q; want one line", address, got)
			}
			if got := w.lines(append(names, "turned a node away", "node="+seed+" ", `\"n4\" of cluster`)...); len(got) != 1 {
				t.Errorf("member %s says: %q; want one line", seed, got)
			}
		}
		advance(10 * time.Minute)
		if got := len(w.lines("the seed belongs to another cluster")); got < 20 || got > 33 {
			t.Errorf("said %d times in ten minutes of three seeds", got)
		}
	})
}

// Of more texts than it remembers seldom says none: an intruder with ever new
// names must not fill the log. A minute later there is room again.
func TestSeldom(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *world) {
		var s seldom
		said := 0
		for i := range 2 * seldomMax {
			if s.now(strconv.Itoa(i)) {
				said++
			}
		}
		if said != seldomMax || s.now("0") {
			t.Errorf("said %d texts, want %d, each once", said, seldomMax)
		}
		advance(seldomEvery)
		if !s.now("0") || !s.now("new") {
			t.Error("silent for ever")
		}
	})
}
