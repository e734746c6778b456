package simulator

// Result is what a run measured. Its JSON keys are fixed; a time or ratio that
// does not exist is null. All times are seconds of virtual time since the
// scenario began. Equal scenarios give equal bytes.
type Result struct {
	Name             string  `json:"name"`
	Seed             uint64  `json:"seed"`
	Nodes            int     `json:"nodes"` // members at the end
	Chains           int     `json:"chains"`
	Copies           int     `json:"copies"` // wanted
	SimulatedSeconds float64 `json:"simulated_seconds"`

	Quiet         bool     `json:"quiet"`          // nothing was decided for the last three cooldowns, and no event was left
	RestSeconds   *float64 `json:"rest_seconds"`   // from the last event to the last decision; null if not quiet
	Even          bool     `json:"even"`           // within the band at the end, see [Sample]
	EvenSeconds   *float64 `json:"even_seconds"`   // from the last event until it was even for good
	Refilled      bool     `json:"refilled"`       // no chain lacks a copy at the end
	RefillSeconds *float64 `json:"refill_seconds"` // from the last event until that held for good

	Moves     Counts `json:"moves"`      // that ended with the copy where it was wanted
	CalledOff Counts `json:"called_off"` // that ended without
	Surplus   int    `json:"surplus_drops"`
	Bytes     int64  `json:"bytes_moved"`
	// Bound is how many copies had to move at least; MovesPerBound is
	// Moves.Total to that, null when nothing had to or the bound is unknown.
	// OPERATIONS.md says how it is reckoned.
	Bound         int      `json:"bound"`
	MovesPerBound *float64 `json:"moves_per_bound"`
	// Load is the weight of the moved copies, and LoadBound what had to move at
	// least. Where weights differ it is the fairer measure.
	Load         float64  `json:"load_moved"`
	LoadBound    float64  `json:"load_bound"`
	LoadPerBound *float64 `json:"load_per_bound"`
	// Returns is balance moves of a copy back to a node that balance had moved
	// it off less than ten cooldowns before. ReturnsAfterEvents is those before
	// which, since the first move, an event or the next step of a drain
	// had changed the cluster.
	Returns            int `json:"returns"`
	ReturnsAfterEvents int `json:"returns_after_events"`

	Refused []Refusal `json:"refused"` // decisions that the state machine refused, by code
	Peak    Peak      `json:"peak"`
	Events  []Mark    `json:"events"`
	Samples []Sample  `json:"samples"`
}

// Counts is a number per cause of a move.
type Counts struct {
	Balance    int `json:"balance"`
	Repair     int `json:"repair"`
	Drain      int `json:"drain"`
	Constraint int `json:"constraint"`
	Forced     int `json:"forced"`
	Total      int `json:"total"`
}

func countsOf(list [causesCount]int) Counts {
	c := Counts{Balance: list[0], Repair: list[1], Drain: list[2], Constraint: list[3], Forced: list[4]}
	for _, n := range list {
		c.Total += n
	}
	return c
}

// list returns the counts in the order of causes.
func (c Counts) list() [causesCount]int {
	return [...]int{c.Balance, c.Repair, c.Drain, c.Constraint, c.Forced}
}

// Refusal counts refused decisions of one code.
type Refusal struct {
	Code  string `json:"code"`
	Count int    `json:"count"`
}

// Peak is the worst of the run, between samples too.
type Peak struct {
	Open        int `json:"open_moves"`
	Under       int `json:"under"`
	Unavailable int `json:"unavailable"`
}

// Mark is an event of the scenario, and what came of it until the next.
type Mark struct {
	Seconds       float64  `json:"seconds"`
	Name          string   `json:"name"`
	Moves         int      `json:"moves"`
	EvenSeconds   *float64 `json:"even_seconds"`   // until it was even, null = it was not
	RefillSeconds *float64 `json:"refill_seconds"` // until no chain lacked a copy, null = one did
}

// Sample is the cluster at one instant. Utilisation is a node's placed weight
// per capacity; Max, Min and StdDev are relative to the mean, over the nodes
// that may be given copies. Even is the balance rule's own word: no copy is on
// a node that stands more than a band (0.1 of the mean) above another that
// could take it.
type Sample struct {
	Seconds     float64 `json:"seconds"`
	Nodes       int     `json:"nodes"` // that may be given copies
	Max         float64 `json:"max"`
	Min         float64 `json:"min"`
	StdDev      float64 `json:"stddev"`
	Even        bool    `json:"even"`
	Open        Counts  `json:"open_moves"`
	Under       int     `json:"under"`       // chains with fewer live copies than desired
	Unavailable int     `json:"unavailable"` // of these, chains with none
}
