package cluster

// Gauge is a number that goes up and down. A prometheus.Gauge is one.
type Gauge interface{ Set(value float64) }

// Counter is a number that goes up. A prometheus.Counter is one.
type Counter interface{ Add(delta float64) }

// Observer takes samples. A prometheus.Histogram is one.
type Observer interface{ Observe(value float64) }

// Metrics are what a node counts. They are passed in, so that a process may
// run several nodes and the caller chooses how to show them. All fields must
// be set; [NewMetrics] returns one that counts for nobody.
type Metrics struct {
	Leader       Gauge // 1 while this node leads, past its barrier
	Term         Gauge // raft's term
	AppliedIndex Gauge // raft index of the local view
	Revision     Gauge // the replicated counter
	Chains       Gauge // chains in the state
	Nodes        Gauge // nodes in the state

	Load            Gauge // this node's run queue per core, smoothed; NaN = unknown, as below
	FreeBytes       Gauge // free on its content volume above the reserve
	MemoryFreeBytes Gauge // memory available to programs

	Entries      Counter  // log entries proposed here
	Operations   Counter  // operations in them
	ApplySeconds Observer // time that the state machine took for an entry

	Heartbeat         Gauge // that raft runs with here, in seconds
	WorstWriteSeconds Gauge // longest stable write of the last minutes
	WorstLagSeconds   Gauge // latest that a timer fired in the last minutes

	Elections            Counter  // times this node became leader
	HandOvers            Counter  // times it handed leadership over by itself
	PassSeconds          Observer // time that a scheduler pass took
	FirstDecisionSeconds Gauge    // from the election here to the end of the first pass; NaN until then
	// Decision counts one decision proposed here. The verdict is "accepted" or
	// a code.
	Decision func(cause, verdict string)
	// Probe counts one probe of a member; ok tells how it ended.
	Probe func(ok bool)
}

// nobody takes numbers and forgets them.
type nobody struct{}

// Set forgets the value.
func (nobody) Set(float64) {}

// Add forgets the delta.
func (nobody) Add(float64) {}

// Observe forgets the value.
func (nobody) Observe(float64) {}

// NewMetrics returns metrics that count for nobody: replace what you want to
// see.
func NewMetrics() *Metrics {
	return &Metrics{
		Leader: nobody{}, Term: nobody{}, AppliedIndex: nobody{}, Revision: nobody{}, Chains: nobody{}, Nodes: nobody{},
		Load: nobody{}, FreeBytes: nobody{}, MemoryFreeBytes: nobody{},
		Entries: nobody{}, Operations: nobody{}, ApplySeconds: nobody{},
		Heartbeat: nobody{}, WorstWriteSeconds: nobody{}, WorstLagSeconds: nobody{}, HandOvers: nobody{},
		Elections: nobody{}, PassSeconds: nobody{}, FirstDecisionSeconds: nobody{},
		Decision: func(string, string) {}, Probe: func(bool) {},
	}
}
