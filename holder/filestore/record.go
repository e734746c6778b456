package filestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// record is what is durable of one copy: a line of JSON and a line with its
// hash, so that a torn one is known.
type record struct {
	Chain  placement.ChainID  `json:"chain"`
	Epoch  placement.Epoch    `json:"epoch"`
	SHA256 string             `json:"sha256"`
	Size   int64              `json:"size"`
	Staged bool               `json:"staged"`
	Base   placement.Revision `json:"base"`
}

// key names a record within a store.
type key struct {
	chain placement.ChainID
	epoch placement.Epoch
	sha   string
}

func (r record) key() key { return key{r.Chain, r.Epoch, r.SHA256} }

func (r record) copy() holder.Copy {
	return holder.Copy{Chain: r.Chain, Epoch: r.Epoch, SHA256: r.SHA256, SizeBytes: r.Size, Staged: r.Staged, Base: r.Base}
}

func (r record) encode() ([]byte, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s\n%s\n", line, sumOf(line)), nil
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func decodeRecord(b []byte) (record, error) {
	line, rest, _ := bytes.Cut(b, []byte{'\n'})
	if string(rest) != sumOf(line)+"\n" {
		return record{}, errors.New("the record is torn or was changed")
	}
	var r record
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return record{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return record{}, errors.New("something follows the record")
	}
	if _, err := placement.ParseChainID(string(r.Chain)); err != nil {
		return record{}, err
	}
	if r.SHA256 != "" {
		if err := checkSHA(r.SHA256); err != nil {
			return record{}, err
		}
	}
	if r.Size < 0 || r.SHA256 == "" && r.Size != 0 {
		return record{}, fmt.Errorf("a size of %d bytes cannot be", r.Size)
	}
	return r, nil
}
