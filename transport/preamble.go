package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The handshake, in bytes. Both messages have the same frame:
//
//	magic "HOLD" | version u8 | kind or status u8 | length of the body u16, big endian | body
//
// The body is a list of fields, each a length u8 and as many bytes. The hello
// has cluster name, cluster id, node, instance, process. The reply has
// code, detail (both empty when accepted), then the same five. Fields after these are ignored, so that a
// later release may add some. Frame, code and detail must stay as they are in
// all versions: they are how a node of another version learns why it is
// turned away.
const (
	magic    = "HOLD"
	version  = 1
	frameLen = 8
	fieldMax = 255
	bodyMax  = 4096

	statusAccepted = 0
	statusRefused  = 1
)

var (
	errMagic  = errors.New("the other end does not speak the node protocol")
	errBody   = errors.New("malformed handshake")
	errStatus = errors.New("handshake answered with an unknown status")
)

// versionError says that the other end speaks another version.
type versionError struct{ got byte }

// Error names both versions.
func (e *versionError) Error() string {
	return fmt.Sprintf("the other end speaks version %d of the node protocol, this one %d", e.got, version)
}

// hello is what the dialer says first.
type hello struct {
	kind Kind
	from Identity
}

// reply is what the acceptor answers. refused is nil when it accepts.
type reply struct {
	refused *Refused
	from    Identity
}

// encode returns the hello's bytes, or an error if a field of the identity
// cannot be sent.
func (h hello) encode() ([]byte, error) {
	return appendMessage(byte(h.kind), h.from.fields())
}

// encode returns the reply's bytes, or an error if a field of the identity
// cannot be sent.
func (r reply) encode() ([]byte, error) {
	if r.refused == nil {
		return appendMessage(statusAccepted, append([]string{"", ""}, r.from.fields()...))
	}
	head := []string{oneLine(r.refused.Code), oneLine(r.refused.Detail)}
	return appendMessage(statusRefused, append(head, r.from.fields()...))
}

func (id Identity) fields() []string {
	return []string{id.ClusterName, id.ClusterID, id.Node, id.Instance, id.Process}
}

// identityOf is the reverse of fields; f has at least five.
func identityOf(f []string) Identity {
	return Identity{ClusterName: f[0], ClusterID: f[1], Node: f[2], Instance: f[3], Process: f[4]}
}

func appendMessage(tag byte, fields []string) ([]byte, error) {
	b := append(make([]byte, 0, 256), magic...)
	b = append(b, version, tag, 0, 0)
	for _, f := range fields {
		if len(f) > fieldMax || !printable(f) {
			return nil, fmt.Errorf("%q cannot be sent in a handshake: more than %d bytes, or not printable", f, fieldMax)
		}
		b = append(b, byte(len(f)))
		b = append(b, f...)
	}
	binary.BigEndian.PutUint16(b[frameLen-2:], uint16(len(b)-frameLen))
	return b, nil
}

// readMessage reads one frame, and not a byte more than it announces.
func readMessage(r io.Reader) (ver, tag byte, fields []string, err error) {
	var head [frameLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, nil, fmt.Errorf("handshake not received: %w", err)
	}
	if string(head[:len(magic)]) != magic {
		return 0, 0, nil, errMagic
	}
	n := int(binary.BigEndian.Uint16(head[frameLen-2:]))
	if n > bodyMax {
		return 0, 0, nil, fmt.Errorf("%w: %d bytes announced, at most %d are taken", errBody, n, bodyMax)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, 0, nil, fmt.Errorf("handshake not received whole: %w", err)
	}
	for len(body) > 0 {
		n := int(body[0])
		if len(body) < 1+n {
			return 0, 0, nil, errBody
		}
		f := string(body[1 : 1+n])
		if !printable(f) {
			return 0, 0, nil, fmt.Errorf("%w: unprintable characters", errBody)
		}
		fields = append(fields, f)
		body = body[1+n:]
	}
	return head[len(magic)], head[len(magic)+1], fields, nil
}

// readHello reads what the dialer says.
func readHello(r io.Reader) (hello, error) {
	ver, tag, f, err := readMessage(r)
	switch {
	case err != nil:
		return hello{}, err
	case ver != version:
		return hello{}, &versionError{ver}
	case len(f) < 5:
		return hello{}, errBody
	}
	return hello{kind: Kind(tag), from: identityOf(f)}, nil
}

// readReply reads what the acceptor answers. A refusal is understood from any
// version.
func readReply(r io.Reader) (reply, error) {
	ver, tag, f, err := readMessage(r)
	switch {
	case err != nil:
		return reply{}, err
	case tag == statusRefused && len(f) >= 2:
		rep := reply{refused: &Refused{Code: f[0], Detail: f[1]}}
		if ver == version && len(f) >= 7 {
			rep.from = identityOf(f[2:])
		}
		return rep, nil
	case ver != version:
		return reply{}, &versionError{ver}
	case tag != statusAccepted:
		return reply{}, errStatus
	case len(f) < 7:
		return reply{}, errBody
	}
	return reply{from: identityOf(f[2:])}, nil
}
