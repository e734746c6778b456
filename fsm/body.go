package fsm

import "github.com/holdfast-cluster/holdfast/placement"

// opKind is the number of an operation in the log. Numbers are never reused.
type opKind uint8

const (
	opGenesis opKind = iota + 1
	opAnnounce
	opObserve
	opLose
	opLeave
	opRemoveNode
	opSetEligibility
	opSetWeight
	opPutChain
	opPutChains
	opDeleteChain
	opReport
	opDecide
	opPutConfig
	opSetFreeze
	opThaw
	opResumeRepair
	opForce
	opCommitContent
	opRaiseLevel
	opReleaseGuard
	opPurgeOrphan
	opSetHeartbeat
)

func (*Genesis) kind() opKind        { return opGenesis }
func (*Announce) kind() opKind       { return opAnnounce }
func (*Observe) kind() opKind        { return opObserve }
func (*Lose) kind() opKind           { return opLose }
func (*Leave) kind() opKind          { return opLeave }
func (*RemoveNode) kind() opKind     { return opRemoveNode }
func (*SetEligibility) kind() opKind { return opSetEligibility }
func (*SetWeight) kind() opKind      { return opSetWeight }
func (*PutChain) kind() opKind       { return opPutChain }
func (*PutChains) kind() opKind      { return opPutChains }
func (*DeleteChain) kind() opKind    { return opDeleteChain }
func (*Report) kind() opKind         { return opReport }
func (*Decide) kind() opKind         { return opDecide }
func (*PutConfig) kind() opKind      { return opPutConfig }
func (*SetFreeze) kind() opKind      { return opSetFreeze }
func (*Thaw) kind() opKind           { return opThaw }
func (*ResumeRepair) kind() opKind   { return opResumeRepair }
func (*Force) kind() opKind          { return opForce }
func (*CommitContent) kind() opKind  { return opCommitContent }
func (*RaiseLevel) kind() opKind     { return opRaiseLevel }
func (*ReleaseGuard) kind() opKind   { return opReleaseGuard }
func (*PurgeOrphan) kind() opKind    { return opPurgeOrphan }
func (*SetHeartbeat) kind() opKind   { return opSetHeartbeat }

// newBody returns an empty body of that kind to decode into, or nil if this
// build does not know it.
func newBody(k opKind) Body {
	switch k {
	case opGenesis:
		return new(Genesis)
	case opAnnounce:
		return new(Announce)
	case opObserve:
		return new(Observe)
	case opLose:
		return new(Lose)
	case opLeave:
		return new(Leave)
	case opRemoveNode:
		return new(RemoveNode)
	case opSetEligibility:
		return new(SetEligibility)
	case opSetWeight:
		return new(SetWeight)
	case opPutChain:
		return new(PutChain)
	case opPutChains:
		return new(PutChains)
	case opDeleteChain:
		return new(DeleteChain)
	default:
		return newLaterBody(k)
	}
}

func newLaterBody(k opKind) Body {
	switch k {
	case opReport:
		return new(Report)
	case opDecide:
		return new(Decide)
	case opPutConfig:
		return new(PutConfig)
	case opSetFreeze:
		return new(SetFreeze)
	case opThaw:
		return new(Thaw)
	case opResumeRepair:
		return new(ResumeRepair)
	case opForce:
		return new(Force)
	case opCommitContent:
		return new(CommitContent)
	case opRaiseLevel:
		return new(RaiseLevel)
	case opReleaseGuard:
		return new(ReleaseGuard)
	case opPurgeOrphan:
		return new(PurgeOrphan)
	case opSetHeartbeat:
		return new(SetHeartbeat)
	default:
		return newestBody(k)
	}
}

// NewDecide wraps a decision of the scheduler.
func NewDecide(d placement.Decision) *Decide { return &Decide{Decision: decisionToRecord(d)} }

// NewPutChain wraps a spec for a chain.
func NewPutChain(id placement.ChainID, s placement.Spec) *PutChain {
	return &PutChain{Chain: id, Spec: specToRecord(s)}
}

// NewPutConfig wraps a configuration.
func NewPutConfig(c placement.Config) *PutConfig { return &PutConfig{Config: configRecord(c)} }

// SetAddresses sets where the node is reached.
func (a *Announce) SetAddresses(addr placement.Addresses) { a.Addresses = addressesRecord(addr) }

// SetLabels sets the node's labels.
func (a *Announce) SetLabels(labels placement.Labels) { a.Labels = labelsToRecords(labels) }

// SetCapabilities sets what the node says it has.
func (a *Announce) SetCapabilities(list placement.Capabilities) {
	a.Numbers, a.Texts = capabilitiesToRecords(list)
}
