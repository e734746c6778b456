package fsm

import (
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Records of the snapshot, beside those that the log shares (records.go).

type contentRecord struct {
	Version placement.Revision `cbor:"1,keyasint"`
	SHA256  string             `cbor:"2,keyasint"`
	Size    int64              `cbor:"3,keyasint"`
}

type holderRecord struct {
	Node        placement.NodeID `cbor:"1,keyasint"`
	Epoch       placement.Epoch  `cbor:"2,keyasint"`
	Phase       placement.Phase  `cbor:"3,keyasint"`
	Lost        bool             `cbor:"4,keyasint,omitempty"`
	Unconfirmed bool             `cbor:"5,keyasint,omitempty"`
	Since       placement.Time   `cbor:"6,keyasint,omitempty"`
	Source      placement.NodeID `cbor:"7,keyasint,omitempty"`
	SHA256      string           `cbor:"8,keyasint,omitempty"`
	SizeBytes   int64            `cbor:"9,keyasint,omitempty"`
}

type moveRecord struct {
	ID         placement.MoveID    `cbor:"1,keyasint"`
	Cause      placement.Cause     `cbor:"2,keyasint"`
	Mode       placement.SwapMode  `cbor:"3,keyasint"`
	Phase      placement.MovePhase `cbor:"4,keyasint"`
	From       placement.NodeID    `cbor:"5,keyasint,omitempty"`
	FromEpoch  placement.Epoch     `cbor:"6,keyasint,omitempty"`
	To         placement.NodeID    `cbor:"7,keyasint,omitempty"`
	ToEpoch    placement.Epoch     `cbor:"8,keyasint,omitempty"`
	Opened     placement.Time      `cbor:"9,keyasint"`
	Deadline   placement.Time      `cbor:"10,keyasint,omitempty"`
	BytesDone  int64               `cbor:"11,keyasint,omitempty"`
	BytesTotal int64               `cbor:"12,keyasint,omitempty"`
	ScoreFrom  placement.Score     `cbor:"13,keyasint,omitempty"`
	ScoreTo    placement.Score     `cbor:"14,keyasint,omitempty"`
	Unbudgeted bool                `cbor:"15,keyasint,omitempty"`
}

type backoffRecord struct {
	Node     placement.NodeID `cbor:"1,keyasint"`
	Failures int              `cbor:"2,keyasint"`
	Until    placement.Time   `cbor:"3,keyasint"`
}

type departureRecord struct {
	Node  placement.NodeID `cbor:"1,keyasint"`
	Copy  placement.NodeID `cbor:"2,keyasint"`
	At    placement.Time   `cbor:"3,keyasint"`
	Again uint8            `cbor:"4,keyasint,omitempty"`
}

type quarantineRecord struct {
	Since    placement.Time `cbor:"1,keyasint"`
	Until    placement.Time `cbor:"2,keyasint"`
	Failures int            `cbor:"3,keyasint"`
	Error    string         `cbor:"4,keyasint,omitempty"`
}

type chainRecord struct {
	ID             placement.ChainID    `cbor:"1,keyasint"`
	Generation     placement.Generation `cbor:"2,keyasint"`
	Revision       placement.Revision   `cbor:"3,keyasint"`
	Spec           specRecord           `cbor:"4,keyasint"`
	Holders        []holderRecord       `cbor:"5,keyasint,omitempty"`
	Moves          []moveRecord         `cbor:"6,keyasint,omitempty"`
	LastRebalance  placement.Time       `cbor:"7,keyasint,omitempty"`
	LastConstraint placement.Time       `cbor:"8,keyasint,omitempty"`
	LastDecision   placement.Revision   `cbor:"9,keyasint,omitempty"`
	EverReady      bool                 `cbor:"10,keyasint,omitempty"`
	Content        *contentRecord       `cbor:"11,keyasint,omitempty"`
	Failures       int32                `cbor:"12,keyasint,omitempty"`
	Backoffs       []backoffRecord      `cbor:"13,keyasint,omitempty"`
	Quarantine     *quarantineRecord    `cbor:"14,keyasint,omitempty"`
	Departed       []departureRecord    `cbor:"15,keyasint,omitempty"`
}

func chainToRecord(c *placement.Chain) chainRecord {
	return chainRecord{
		c.ID, c.Generation, c.Revision, specToRecord(*c.Spec),
		convert(c.Holders, func(h placement.Holder) holderRecord { return holderRecord(h) }),
		convert(c.Moves, func(m placement.Move) moveRecord { return moveRecord(m) }),
		c.LastRebalance, c.LastConstraint, c.LastDecision, c.EverReady, (*contentRecord)(c.Content), c.Failures,
		convert(c.Backoffs, func(b placement.Backoff) backoffRecord { return backoffRecord(b) }),
		(*quarantineRecord)(c.Quarantine),
		convert(c.Departed, func(d placement.Departure) departureRecord { return departureRecord(d) }),
	}
}

func (r *chainRecord) chain() *placement.Chain {
	spec := r.Spec.spec()
	return &placement.Chain{
		ID: r.ID, Generation: r.Generation, Revision: r.Revision, Spec: &spec,
		Holders:       convert(r.Holders, func(h holderRecord) placement.Holder { return placement.Holder(h) }),
		Moves:         convert(r.Moves, func(m moveRecord) placement.Move { return placement.Move(m) }),
		LastRebalance: r.LastRebalance, LastConstraint: r.LastConstraint, LastDecision: r.LastDecision,
		EverReady: r.EverReady, Content: (*placement.Content)(r.Content), Failures: r.Failures,
		Backoffs:   convert(r.Backoffs, func(b backoffRecord) placement.Backoff { return placement.Backoff(b) }),
		Quarantine: (*placement.Quarantine)(r.Quarantine),
		Departed:   convert(r.Departed, func(d departureRecord) placement.Departure { return placement.Departure(d) }),
	}
}

type nodeRecord struct {
	ID            placement.NodeID      `cbor:"1,keyasint"`
	Instance      string                `cbor:"2,keyasint"`
	Incarnation   placement.Incarnation `cbor:"3,keyasint"`
	Process       string                `cbor:"4,keyasint"`
	Inventoried   bool                  `cbor:"5,keyasint,omitempty"`
	Revision      placement.Revision    `cbor:"6,keyasint"`
	Role          placement.Role        `cbor:"7,keyasint"`
	State         placement.NodeState   `cbor:"8,keyasint"`
	Since         placement.Time        `cbor:"9,keyasint"`
	Unreachable   placement.Time        `cbor:"10,keyasint,omitempty"`
	Eligibility   placement.Eligibility `cbor:"11,keyasint"`
	DrainDeadline placement.Time        `cbor:"12,keyasint,omitempty"`
	Zone          string                `cbor:"13,keyasint,omitempty"`
	Labels        []labelRecord         `cbor:"14,keyasint,omitempty"`
	Addresses     addressesRecord       `cbor:"15,keyasint"`
	CapacityBytes int64                 `cbor:"16,keyasint,omitempty"`
	Weight        placement.Score       `cbor:"17,keyasint"`
	NoSpace       bool                  `cbor:"18,keyasint,omitempty"`
	Version       string                `cbor:"19,keyasint,omitempty"`
	FeatureLevel  int                   `cbor:"20,keyasint"`
	Numbers       []numberRecord        `cbor:"21,keyasint,omitempty"`
	Texts         []labelRecord         `cbor:"22,keyasint,omitempty"`
	Wished        placement.Time        `cbor:"23,keyasint,omitempty"`
	Falls         []placement.Time      `cbor:"24,keyasint,omitempty"`
}

func nodeToRecord(n *placement.Node) nodeRecord {
	numbers, texts := capabilitiesToRecords(n.Capabilities)
	return nodeRecord{
		n.ID, n.Instance, n.Incarnation, n.Process, n.Inventoried, n.Revision, n.Role, n.State, n.Since, n.Unreachable,
		n.Eligibility, n.DrainDeadline, n.Zone, labelsToRecords(n.Labels), addressesRecord(n.Addresses),
		n.CapacityBytes, n.Weight, n.NoSpace, n.Version, n.FeatureLevel, numbers, texts, n.Wished, n.Falls,
	}
}

func (r *nodeRecord) node() *placement.Node {
	return &placement.Node{
		ID: r.ID, Instance: r.Instance, Incarnation: r.Incarnation, Process: r.Process, Inventoried: r.Inventoried,
		Revision: r.Revision, Role: r.Role, State: r.State, Since: r.Since, Unreachable: r.Unreachable,
		Eligibility: r.Eligibility, DrainDeadline: r.DrainDeadline, Zone: r.Zone, Labels: labelsFromRecords(r.Labels),
		Addresses: placement.Addresses(r.Addresses), CapacityBytes: r.CapacityBytes, Weight: r.Weight,
		NoSpace: r.NoSpace, Version: r.Version, FeatureLevel: r.FeatureLevel,
		Capabilities: capabilitiesFromRecords(r.Numbers, r.Texts), Wished: r.Wished, Falls: r.Falls,
	}
}

type historyRecord struct {
	Revision placement.Revision `cbor:"1,keyasint"`
	Decision decisionRecord     `cbor:"2,keyasint"`
	Verdict  placement.Code     `cbor:"3,keyasint,omitempty"`
	Index    uint64             `cbor:"4,keyasint"`
	Term     uint64             `cbor:"5,keyasint"`
	Actor    string             `cbor:"6,keyasint,omitempty"`
	At       placement.Time     `cbor:"7,keyasint"`
	WallMs   int64              `cbor:"8,keyasint,omitempty"`
}

func historyToRecord(r *placement.Record) historyRecord {
	h := historyRecord{r.Revision, decisionToRecord(r.Decision), r.Verdict, r.Index, r.Term, r.Actor, r.At, 0}
	if !r.Wall.IsZero() {
		h.WallMs = r.Wall.UnixMilli()
	}
	return h
}

func (r *historyRecord) record() *placement.Record {
	d := &placement.Record{
		Revision: r.Revision, Decision: r.Decision.decision(), Verdict: r.Verdict,
		Index: r.Index, Term: r.Term, Actor: r.Actor, At: r.At,
	}
	if r.WallMs != 0 {
		d.Wall = time.UnixMilli(r.WallMs).UTC()
	}
	return d
}

type strayRecord struct {
	Node      placement.NodeID  `cbor:"1,keyasint"`
	Chain     placement.ChainID `cbor:"2,keyasint"`
	Epoch     placement.Epoch   `cbor:"3,keyasint"`
	SHA256    string            `cbor:"4,keyasint,omitempty"`
	SizeBytes int64             `cbor:"5,keyasint,omitempty"`
	Verdict   CopyVerdict       `cbor:"6,keyasint"`
}

type tombstoneRecord struct {
	Chain   placement.ChainID `cbor:"1,keyasint"`
	Epoch   placement.Epoch   `cbor:"2,keyasint"`
	Expires placement.Time    `cbor:"3,keyasint"`
}

type forcedRecord struct {
	ID      placement.Revision `cbor:"1,keyasint"`
	Chain   placement.ChainID  `cbor:"2,keyasint"`
	From    placement.NodeID   `cbor:"3,keyasint,omitempty"`
	To      placement.NodeID   `cbor:"4,keyasint,omitempty"`
	Actor   string             `cbor:"5,keyasint,omitempty"`
	Reason  string             `cbor:"6,keyasint,omitempty"`
	Expires placement.Time     `cbor:"7,keyasint"`
}

type freezeRecord struct {
	Reason string         `cbor:"1,keyasint,omitempty"`
	Actor  string         `cbor:"2,keyasint,omitempty"`
	Since  placement.Time `cbor:"3,keyasint"`
	Until  placement.Time `cbor:"4,keyasint,omitempty"`
}

type heartbeatRecord struct {
	Timeout time.Duration  `cbor:"1,keyasint"`
	Reason  string         `cbor:"2,keyasint,omitempty"`
	Since   placement.Time `cbor:"3,keyasint"`
}

func recordHeartbeat(h placement.Heartbeat) *heartbeatRecord {
	if h == (placement.Heartbeat{}) {
		return nil
	}
	return (*heartbeatRecord)(&h)
}

func (r *heartbeatRecord) heartbeat() placement.Heartbeat {
	if r == nil {
		return placement.Heartbeat{}
	}
	return placement.Heartbeat(*r)
}

type pauseRecord struct {
	Since placement.Time     `cbor:"1,keyasint"`
	Until placement.Time     `cbor:"2,keyasint"`
	Nodes []placement.NodeID `cbor:"3,keyasint"`
}

// resultRecord is a remembered answer. Of a batch it keeps the refused items
// only, grouped by code: 4,096 refusals take 12 KiB (rule S20).
type resultRecord struct {
	Code        placement.Code        `cbor:"1,keyasint,omitempty"`
	Detail      string                `cbor:"2,keyasint,omitempty"`
	Revision    placement.Revision    `cbor:"3,keyasint,omitempty"`
	Created     bool                  `cbor:"4,keyasint,omitempty"`
	Incarnation placement.Incarnation `cbor:"5,keyasint,omitempty"`
	Chain       *chainRecord          `cbor:"6,keyasint,omitempty"`
	ItemCount   uint16                `cbor:"7,keyasint,omitempty"`
	Refused     []refusedRecord       `cbor:"8,keyasint,omitempty"`
}

type refusedRecord struct {
	Code  placement.Code `cbor:"1,keyasint"`
	Items []uint16       `cbor:"2,keyasint"` // indexes, ascending
}

func resultToRecord(r Result) resultRecord {
	rec := resultRecord{
		Code: r.Code, Detail: r.Detail, Revision: r.Revision, Created: r.Created, Incarnation: r.Incarnation,
		ItemCount: uint16(len(r.Items)), //nolint:gosec // at most ItemsMax
	}
	if r.Chain != nil {
		c := chainToRecord(r.Chain)
		rec.Chain = &c
	}
	for i, code := range r.Items {
		if code != placement.Accepted {
			rec.refuse(code, uint16(i)) //nolint:gosec // at most ItemsMax
		}
	}
	return rec
}

func (r *resultRecord) refuse(code placement.Code, item uint16) {
	i := slices.IndexFunc(r.Refused, func(x refusedRecord) bool { return x.Code == code })
	if i < 0 {
		i, r.Refused = len(r.Refused), append(r.Refused, refusedRecord{Code: code})
	}
	r.Refused[i].Items = append(r.Refused[i].Items, item)
}

func (r *resultRecord) result() Result {
	res := Result{Code: r.Code, Detail: r.Detail, Revision: r.Revision, Created: r.Created, Incarnation: r.Incarnation}
	if r.Chain != nil {
		res.Chain = r.Chain.chain()
	}
	if r.ItemCount > 0 {
		res.Items = make([]placement.Code, r.ItemCount)
	}
	for _, group := range r.Refused {
		for _, i := range group.Items {
			if i < r.ItemCount {
				res.Items[i] = group.Code
			}
		}
	}
	return res
}

type requestRecord struct {
	Key     string         `cbor:"1,keyasint"`
	Hash    []byte         `cbor:"2,keyasint,omitempty"`
	Expires placement.Time `cbor:"3,keyasint"`
	Answer  resultRecord   `cbor:"4,keyasint"`
}
