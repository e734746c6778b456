//go:build nextlevel

package fsm

// Level is one above the released one: this build is for tests of upgrades.
const Level = 2

// opNote is far from the numbers that real operations will take.
const opNote opKind = 200

// Note is an operation of level 2 that changes nothing.
type Note struct {
	Text string `cbor:"1,keyasint"`
}

func (*Note) kind() opKind { return opNote }

func newestBody(k opKind) Body {
	if k == opNote {
		return new(Note)
	}
	return nil
}
