package authfile

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/server"
)

// sizeMax bounds the file, in bytes.
const sizeMax = 1 << 20

// Entry is one token as the file has it.
type Entry struct {
	Name   string   `json:"name"`   // the actor of what its bearer does
	SHA256 string   `json:"sha256"` // of the token, in hexadecimal
	Role   api.Role `json:"role"`
}

// List is the content of a file. It never changes.
type List struct {
	callers []server.Caller
	sums    [][sha256.Size]byte // of the caller at the same place
}

// nameForm leaves out the colon, which the names of nodes have as actors.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// Parse reads the content of a file and names the entry that is wrong.
func Parse(text []byte) (*List, error) {
	if len(text) > sizeMax {
		return nil, fmt.Errorf("it has more than %d bytes", sizeMax)
	}
	var entries []Entry
	if err := yaml.UnmarshalStrict(text, &entries); err != nil {
		return nil, fmt.Errorf("it is not a list of name, sha256 and role: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("it lists no token: nobody could use the API")
	}
	l := new(List)
	roles := map[string]api.Role{}
	seen := map[[sha256.Size]byte]bool{sha256.Sum256(nil): true}
	for i, e := range entries {
		sum, err := e.check()
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		if before, ok := roles[e.Name]; ok && before != e.Role {
			return nil, fmt.Errorf("entry %d: %s is %s here and %s above: a name has one role", i+1, e.Name, e.Role, before)
		}
		if seen[sum] {
			return nil, fmt.Errorf("entry %d: the sha256 of %s is that of the empty token, or of an entry above", i+1, e.Name)
		}
		roles[e.Name], seen[sum] = e.Role, true
		l.callers, l.sums = append(l.callers, server.Caller{Name: e.Name, Role: e.Role}), append(l.sums, sum)
	}
	return l, nil
}

func (e *Entry) check() (sum [sha256.Size]byte, err error) {
	switch {
	case !nameForm.MatchString(e.Name):
		return sum, fmt.Errorf("name: %.80q is not 1 to 64 of letters, digits and . _ @ -, beginning with a letter or digit", e.Name)
	case e.Name == "scheduler" || e.Name == "anonymous":
		return sum, fmt.Errorf("name: %q is how the cluster calls another: choose one more", e.Name)
	case !e.Role.Covers(api.RoleRead):
		return sum, fmt.Errorf("role: %.40q of %s is none of read, operate, admin", e.Role, e.Name)
	}
	decoded, err := hex.DecodeString(e.SHA256)
	if err != nil || copy(sum[:], decoded) != len(sum) || len(decoded) != len(sum) {
		// What stands there may be the token itself: it must not get into a log.
		return sum, fmt.Errorf("sha256: that of %s is not 64 hexadecimal digits: give the SHA-256 of the token, not the token", e.Name)
	}
	return sum, nil
}

// Find returns whose a token is. How long it takes says nothing about the
// tokens that there are.
func (l *List) Find(token string) (server.Caller, bool) {
	sum := sha256.Sum256([]byte(token))
	at := -1
	for i := range l.sums {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(l.sums[i][:], sum[:]), i, at)
	}
	if at < 0 {
		return server.Caller{}, false
	}
	return l.callers[at], true
}

// NewToken returns a random token and its entry, which must still be put into
// the file.
func NewToken(name string, role api.Role) (token string, e Entry, err error) {
	token = "hf_" + rand.Text()
	sum := sha256.Sum256([]byte(token))
	e = Entry{Name: name, SHA256: hex.EncodeToString(sum[:]), Role: role}
	_, err = e.check()
	return token, e, err
}
