package gossip

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Types of memberlist's messages that a stream may bring.
const (
	typePing     = 0
	typeAck      = 2
	typePushPull = 6
	typeEncrypt  = 10
	typeError    = 13
)

// Limits of one stream. A node is described in a few hundred bytes, what is
// known of its load included.
const (
	streamBytesMax = 8 << 20
	streamNodesMax = 16 << 10
	smallBytesMax  = 4 << 10 // of whatever is no full exchange
	versionsLen    = 6       // memberlist reads as many, without looking how many there are
)

var (
	errStreamLong = fmt.Errorf("it is longer than a node of this cluster would send, %d bytes", streamBytesMax)
	errStreamForm = errors.New("it is not what a node of this cluster would send")
)

// sieve reads the message of a stream before memberlist does, and keeps it.
// memberlist believes what a message says of itself: one can make it reserve any
// amount of memory, or read what is not there.
type sieve struct {
	from io.Reader
	kept []byte
	left int // bytes that may still come
}

// sift reads one message whole and returns it, if it is one that a node would
// send. With encryption the content is not looked at: who has a key is a node,
// and who has none fails there.
func sift(from io.Reader, encrypted bool) ([]byte, error) {
	s := &sieve{from: bufio.NewReader(from), left: smallBytesMax}
	err := s.message(encrypted)
	if err != nil && len(s.kept) == 0 {
		return nil, err // nothing came: the connection's own error
	}
	if err != nil {
		return nil, fmt.Errorf("stream refused: %w", err)
	}
	return s.kept, nil
}

func (s *sieve) message(encrypted bool) error {
	kind, err := s.one()
	if err == nil && kind == typeLabel {
		var size byte
		if size, err = s.one(); err == nil {
			_, err = s.next(int(size))
		}
		if err == nil {
			kind, err = s.one()
		}
	}
	switch {
	case err != nil:
		return err
	case encrypted != (kind == typeEncrypt):
		return nil // memberlist refuses it by its type, and says so
	case encrypted:
		s.left = streamBytesMax
		size, err := s.number(4)
		if err == nil {
			_, err = s.next(int(size))
		}
		return err
	case kind == typePing, kind == typeAck, kind == typeError:
		return s.fields(func(string, value) error { return nil })
	case kind == typePushPull:
		s.left = streamBytesMax
		return s.exchange()
	}
	return errStreamForm
}

// exchange reads a full exchange: how much comes, the nodes, the cargo.
func (s *sieve) exchange() error {
	var nodes, cargo int64
	err := s.fields(func(key string, v value) error {
		switch key {
		case "Nodes":
			nodes = v.number
		case "UserStateLen":
			cargo = v.number
		default:
			return nil
		}
		if v.kind != isNumber {
			return errStreamForm
		}
		return nil
	})
	if err != nil {
		return err
	}
	if nodes < 0 || nodes > streamNodesMax || cargo < 0 || cargo > streamBytesMax {
		return fmt.Errorf("it announces %d nodes and %d bytes: %w", nodes, cargo, errStreamForm)
	}
	for range nodes {
		versions := 0
		err := s.fields(func(key string, v value) error {
			if key == "Vsn" && v.kind == isBytes {
				versions = len(v.bytes)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if versions < versionsLen {
			return fmt.Errorf("a node without its versions: %w", errStreamForm)
		}
	}
	_, err = s.next(int(cargo))
	return err
}

// value is one of a map in msgpack.
type value struct {
	kind   int
	number int64
	bytes  []byte // valid until the next is read
}

// Kinds of values.
const (
	isOther = iota // nil or a truth
	isNumber
	isBytes
)

// fields reads a map of names and plain values, as msgpack has it, each name
// once.
func (s *sieve) fields(see func(key string, v value) error) error {
	head, err := s.one()
	if err != nil {
		return err
	}
	if head&0xf0 != 0x80 {
		return errStreamForm
	}
	var seen []string
	for range head & 0x0f {
		k, err := s.value()
		if err != nil {
			return err
		}
		key := string(k.bytes)
		if k.kind != isBytes || slices.Contains(seen, key) {
			return errStreamForm
		}
		seen = append(seen, key)
		v, err := s.value()
		if err == nil {
			err = see(key, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// value reads nil, a truth, a whole number or bytes. Nothing that holds others
// is taken, so nothing is nested.
func (s *sieve) value() (value, error) {
	head, err := s.one()
	if err != nil {
		return value{}, err
	}
	switch {
	case head <= 0x7f || head >= 0xe0:
		return value{kind: isNumber, number: int64(int8(head))}, nil
	case head >= 0xa0 && head <= 0xbf:
		return s.text(uint64(head & 0x1f))
	case head == 0xc0, head == 0xc2, head == 0xc3:
		return value{}, nil
	case head >= 0xc4 && head <= 0xc6:
		return s.sized(1 << (head - 0xc4))
	case head >= 0xd9 && head <= 0xdb:
		return s.sized(1 << (head - 0xd9))
	case head >= 0xcc && head <= 0xcf:
		n, err := s.number(1 << (head - 0xcc))
		if n > math.MaxInt64 {
			err = errStreamForm
		}
		return value{kind: isNumber, number: int64(n)}, err
	case head >= 0xd0 && head <= 0xd3:
		size := 1 << (head - 0xd0)
		n, err := s.number(size)
		shift := 64 - 8*size // carries the sign up
		return value{kind: isNumber, number: int64(n<<shift) >> shift}, err
	}
	return value{}, errStreamForm
}

// sized reads bytes after their number.
func (s *sieve) sized(size int) (value, error) {
	n, err := s.number(size)
	if err != nil {
		return value{}, err
	}
	return s.text(n)
}

func (s *sieve) text(n uint64) (value, error) {
	if n > streamBytesMax {
		return value{}, errStreamLong
	}
	b, err := s.next(int(n))
	return value{kind: isBytes, bytes: b}, err
}

// number reads an unsigned one of 1 to 8 bytes.
func (s *sieve) number(size int) (uint64, error) {
	b, err := s.next(size)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[8-size:], b)
	return binary.BigEndian.Uint64(wide[:]), nil
}

func (s *sieve) one() (byte, error) {
	b, err := s.next(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// next reads n bytes. Memory grows as they come, not as they are announced.
func (s *sieve) next(n int) ([]byte, error) {
	if n > s.left {
		return nil, errStreamLong
	}
	s.left -= n
	start := len(s.kept)
	for left := n; left > 0; {
		step := min(left, packetMax)
		s.kept = slices.Grow(s.kept, step)
		read, err := io.ReadFull(s.from, s.kept[len(s.kept):len(s.kept)+step])
		s.kept = s.kept[:len(s.kept)+read]
		if err != nil {
			return nil, err
		}
		left -= read
	}
	return s.kept[start:], nil
}
