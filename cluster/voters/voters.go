package voters

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Server is one server as the leader sees it.
type Server struct {
	ID        string // raft server id
	Zone      string // "" is a zone too
	Member    bool   // it stands in the raft configuration
	Voter     bool   // and votes
	Healthy   bool
	CaughtUp  bool          // its log is close behind the leader's
	StableFor time.Duration // healthy without a break
	DeadFor   time.Duration // dead by gossip and probe; 0: not dead
	// Remove says why the server must leave the configuration by order (node
	// remove, a newer instance in its place, it left); empty: it need not. It
	// may take the voters below the floor.
	Remove string
}

// Input is all that a plan depends on.
type Input struct {
	Servers           []Server
	Leader            string        // id of the planning server
	MaxVoters         int           // the cluster's max_voters
	Floor             int           // min(3, bootstrap-expect)
	StabilizationTime time.Duration // a standby must have been healthy so long, a voter dead
	DeadServerTimeout time.Duration // after which a dead server without replacement goes; 0: never
}

// Action says what to do with a server.
type Action string

// The actions.
const (
	AddNonvoter Action = "add"      // take it into the configuration, without a vote
	Promote     Action = "promote"  // give it a vote
	Demote      Action = "demote"   // take its vote, keep it as standby
	Remove      Action = "remove"   // out of the configuration
	Transfer    Action = "transfer" // hand the lead over to it
)

// Change is the one next step.
type Change struct {
	Action Action
	ID     string
	Reason string
}

// Target returns how many voters there should be.
func Target(in Input) int {
	members := 0
	for _, s := range in.Servers {
		if s.Member && s.Remove == "" {
			members++
		}
	}
	return max(odd(min(in.MaxVoters, members)), in.Floor, 1)
}

func odd(n int) int { return n - (n+1)%2 }

// Plan returns the next change, or false if nothing is to be done now. Call it
// again when the change is committed. Without a majority of healthy voters
// nothing could be committed, and nothing is planned.
func Plan(in Input) (Change, bool) {
	p := newPlan(in)
	if !p.holds(0, 0) {
		return Change{}, false
	}
	for _, step := range []func() (Change, bool){
		p.removeOrdered, p.add, p.fill, p.shrink, p.replaceDead, p.expire, p.spread,
	} {
		if change, ok := step(); ok {
			return change, true
		}
	}
	return Change{}, false
}

// plan is the input in order, and counted.
type plan struct {
	in       Input
	servers  []Server // by id
	target   int
	voters   int
	healthy  int            // voters that are
	zones    map[string]int // voters of each zone
	standbys []Server       // that may be promoted, best first
}

func newPlan(in Input) *plan {
	p := &plan{in: in, target: Target(in), zones: map[string]int{}}
	p.servers = slices.Clone(in.Servers)
	slices.SortFunc(p.servers, func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
	for i := range p.servers {
		s := &p.servers[i]
		s.Healthy = s.Healthy || s.ID == in.Leader // it plans, so it lives
		if !s.Member || !s.Voter {
			continue
		}
		p.voters++
		p.zones[s.Zone]++
		if s.Healthy {
			p.healthy++
		}
	}
	for _, s := range p.servers {
		stable := s.StableFor >= in.StabilizationTime || p.voters < in.Floor
		if s.Member && !s.Voter && s.Healthy && s.CaughtUp && s.Remove == "" && stable {
			p.standbys = append(p.standbys, s)
		}
	}
	slices.SortStableFunc(p.standbys, func(a, b Server) int { return cmp.Compare(p.zones[a.Zone], p.zones[b.Zone]) })
	return p
}

// holds reports whether the healthy voters are a majority after a change of
// both numbers.
func (p *plan) holds(voters, healthy int) bool {
	voters, healthy = p.voters+voters, p.healthy+healthy
	return voters > 0 && healthy > voters/2
}

// canLose reports whether s may lose its vote, or go, as far as the quorum is
// concerned.
func (p *plan) canLose(s Server) bool {
	switch {
	case s.ID == p.in.Leader:
		return false
	case s.Voter && s.Healthy:
		return p.holds(-1, -1)
	}
	return true // without an idle vote a majority stays one
}

// removeOrdered takes out who must go, voters that are dead first: they cost
// most.
func (p *plan) removeOrdered() (Change, bool) {
	var ordered []Server
	for _, s := range p.servers {
		if s.Member && s.Remove != "" {
			ordered = append(ordered, s)
		}
	}
	slices.SortStableFunc(ordered, func(a, b Server) int { return cmp.Compare(rank(a), rank(b)) })
	for _, s := range ordered {
		if s.ID == p.in.Leader {
			if to, ok := p.successor(); ok {
				return Change{Transfer, to.ID, fmt.Sprintf("the leader %s must go: %s", s.ID, s.Remove)}, true
			}
			continue
		}
		if s.Voter && s.Healthy && p.voters%2 == 1 && len(p.standbys) > 0 && p.holds(1, 1) {
			return Change{Promote, p.standbys[0].ID, fmt.Sprintf("it replaces %s, which must go: %s", s.ID, s.Remove)}, true
		}
		if p.canLose(s) {
			return Change{Remove, s.ID, s.Remove}, true
		}
	}
	return Change{}, false
}

func rank(s Server) int {
	switch {
	case s.Voter && !s.Healthy:
		return 0
	case !s.Voter:
		return 1
	}
	return 2
}

// successor is the voter that the leader hands over to.
func (p *plan) successor() (Server, bool) {
	for _, s := range p.servers {
		if s.Member && s.Voter && s.Healthy && s.CaughtUp && s.Remove == "" && s.ID != p.in.Leader {
			return s, true
		}
	}
	return Server{}, false
}

// add takes in a server that asks.
func (p *plan) add() (Change, bool) {
	for _, s := range p.servers {
		if !s.Member && s.Healthy && s.Remove == "" {
			return Change{AddNonvoter, s.ID, "a new server begins without a vote"}, true
		}
	}
	return Change{}, false
}

// fill promotes while voters are missing. An even number costs a vote more
// for a majority and gains nothing, so from an odd one it begins only if a
// second standby can follow; below the floor every vote helps.
func (p *plan) fill() (Change, bool) {
	if p.voters >= p.target || len(p.standbys) == 0 || !p.holds(1, 1) {
		return Change{}, false
	}
	_, dead := p.dead()
	if p.voters%2 == 1 && p.voters >= p.in.Floor && (len(p.standbys) < 2 || dead) {
		return Change{}, false
	}
	reason := fmt.Sprintf("%d voters of %d wanted", p.voters, p.target)
	return Change{Promote, p.standbys[0].ID, reason}, true
}

// dead is the voter that has been dead longest, and long enough.
func (p *plan) dead() (Server, bool) {
	var dead []Server
	for _, s := range p.servers {
		if s.Member && s.Voter && !s.Healthy && s.DeadFor > 0 && s.DeadFor >= p.in.StabilizationTime {
			dead = append(dead, s)
		}
	}
	if len(dead) == 0 {
		return Server{}, false
	}
	return slices.MaxFunc(dead, func(a, b Server) int { return cmp.Compare(a.DeadFor, b.DeadFor) }), true
}

// replaceDead takes the vote of a dead server that a standby can replace; then
// the number of voters is even, and fill promotes. With an even number fill
// has come first already.
func (p *plan) replaceDead() (Change, bool) {
	dead, ok := p.dead()
	if !ok || len(p.standbys) == 0 || p.voters%2 == 0 || !p.canLose(dead) {
		return Change{}, false
	}
	return Change{Demote, dead.ID, fmt.Sprintf("dead for %v, %s replaces it", dead.DeadFor, p.standbys[0].ID)}, true
}

// shrink takes votes while there are more than wanted: of the dead first, then
// where most are.
func (p *plan) shrink() (Change, bool) {
	if p.voters <= p.target {
		return Change{}, false
	}
	var spare []Server
	for _, s := range p.servers {
		if s.Member && s.Voter && s.Remove == "" && p.canLose(s) {
			spare = append(spare, s)
		}
	}
	if len(spare) == 0 {
		return Change{}, false
	}
	worst := slices.MaxFunc(spare, func(a, b Server) int {
		return cmp.Or(cmp.Compare(ill(a), ill(b)), cmp.Compare(a.DeadFor, b.DeadFor),
			cmp.Compare(p.zones[a.Zone], p.zones[b.Zone]), cmp.Compare(a.ID, b.ID))
	})
	return Change{Demote, worst.ID, fmt.Sprintf("%d voters, %d wanted", p.voters, p.target)}, true
}

func ill(s Server) int {
	if s.Healthy {
		return 0
	}
	return 1
}

// expire removes a server that has been dead for very long, if the floor then
// still holds.
func (p *plan) expire() (Change, bool) {
	if p.in.DeadServerTimeout <= 0 {
		return Change{}, false
	}
	for _, s := range p.servers {
		if !s.Member || s.Healthy || s.DeadFor < p.in.DeadServerTimeout || !p.canLose(s) {
			continue
		}
		if s.Voter && p.voters-1 < p.in.Floor {
			continue
		}
		return Change{Remove, s.ID, fmt.Sprintf("dead for %v, dead_server_timeout is %v", s.DeadFor, p.in.DeadServerTimeout)}, true
	}
	return Change{}, false
}

// spread moves a vote to a zone with fewer, when all voters are healthy: it
// promotes one more, and shrink then takes one where most are.
func (p *plan) spread() (Change, bool) {
	if p.voters != p.target || p.healthy != p.voters || len(p.standbys) == 0 || p.voters%2 == 0 {
		return Change{}, false
	}
	standby := p.standbys[0]
	for _, s := range p.servers {
		if s.Member && s.Voter && s.ID != p.in.Leader && s.Remove == "" && p.zones[s.Zone] > p.zones[standby.Zone]+1 {
			reason := fmt.Sprintf("zone %q has %d voters, zone %q has %d", s.Zone, p.zones[s.Zone], standby.Zone, p.zones[standby.Zone])
			return Change{Promote, standby.ID, reason}, true
		}
	}
	return Change{}, false
}
