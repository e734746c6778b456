package fsm

// SetIndex lets a test apply several entries under one index, as if they were
// the operations of one.
func (m *Machine) SetIndex(index uint64) { m.s.index = index }
