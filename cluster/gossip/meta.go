package gossip

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"
)

// Role says what a node takes part in.
type Role uint8

// The roles.
const (
	Server Role = 1 // raft and chains
	Client Role = 2 // neither; only asks
)

// Meta is what a node tells everybody about itself. Encoded it must fit into
// 512 bytes, so each text has a limit.
type Meta struct {
	ClusterID  string // empty while the node is in no cluster; only a hash of it travels
	Instance   string // of the data directory, at most 64 bytes
	Node       string // advertised address of the node port, at most 200 bytes
	HTTP       string // advertised HTTP address, at most 200 bytes
	Role       Role
	FeatureMin uint16 // lowest feature level that this build can run (S19)
	FeatureMax uint16 // highest
}

// ClusterHash stands for a cluster id on the wire; the zero value for none.
type ClusterHash [8]byte

// HashCluster returns the hash of a cluster id.
func HashCluster(id string) ClusterHash {
	if id == "" {
		return ClusterHash{}
	}
	sum := sha256.Sum256([]byte(id))
	return ClusterHash(sum[:8])
}

const (
	metaVersion  = 1
	instanceMax  = 64
	addressMax   = 200
	metaFixedLen = 1 + 8 + 1 + 2 + 2
)

// encode is version, cluster hash, role, feature levels, and three texts with
// their lengths. A later version may only append.
func (m Meta) encode() ([]byte, error) {
	hash := HashCluster(m.ClusterID)
	b := append([]byte{metaVersion}, hash[:]...)
	b = append(b, byte(m.Role))
	b = binary.BigEndian.AppendUint16(b, m.FeatureMin)
	b = binary.BigEndian.AppendUint16(b, m.FeatureMax)
	for _, field := range []struct {
		name, text string
		limit      int
	}{{"instance", m.Instance, instanceMax}, {"node address", m.Node, addressMax}, {"HTTP address", m.HTTP, addressMax}} {
		if len(field.text) > field.limit {
			return nil, fmt.Errorf("gossip: the %s %q is longer than %d bytes: use a shorter one", field.name, field.text, field.limit)
		}
		b = append(b, byte(len(field.text)))
		b = append(b, field.text...)
	}
	if len(b) > memberlist.MetaMaxSize { // memberlist would panic
		return nil, fmt.Errorf("gossip: what the node tells about itself needs %d bytes of %d: use shorter addresses", len(b), memberlist.MetaMaxSize)
	}
	return b, nil
}

var errMeta = errors.New("gossip: the node tells nothing that this version understands")

// decodeMeta reads what encode or a later version wrote. ClusterID stays
// empty; its hash is returned.
func decodeMeta(b []byte) (m Meta, hash ClusterHash, err error) {
	if len(b) < metaFixedLen || b[0] < metaVersion {
		return Meta{}, ClusterHash{}, errMeta
	}
	hash = ClusterHash(b[1:9])
	m.Role = Role(b[9])
	m.FeatureMin = binary.BigEndian.Uint16(b[10:])
	m.FeatureMax = binary.BigEndian.Uint16(b[12:])
	b = b[metaFixedLen:]
	for _, text := range []*string{&m.Instance, &m.Node, &m.HTTP} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return Meta{}, ClusterHash{}, errMeta
		}
		*text = string(b[1 : 1+int(b[0])])
		b = b[1+int(b[0]):]
	}
	return m, hash, nil
}
