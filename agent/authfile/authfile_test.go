package authfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink keeps what is logged.
type sink struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *sink) errors() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), "[ERROR]")
}

func sumOf(token string) string {
	s := sha256.Sum256([]byte(token))
	return hex.EncodeToString(s[:])
}

func line(name, token string, role api.Role) string {
	return fmt.Sprintf("- name: %s\n  sha256: %s\n  role: %s\n", name, sumOf(token), role)
}

// A file that is right in YAML or JSON must give each token its caller and
// refuse all others; one with anything wrong in it must be refused and the
// culprit named.
func TestParse(t *testing.T) {
	good := line("ci", "t1", api.RoleOperate) + line("ops@example.org", "t2", api.RoleAdmin) + line("ci", "t3", api.RoleOperate)
	json := fmt.Sprintf(`[{"name":"ci","sha256":%q,"role":"operate"},{"name":"ops@example.org","sha256":%q,"role":"admin"},{"name":"ci","sha256":%q,"role":"operate"}]`,
		strings.ToUpper(sumOf("t1")), sumOf("t2"), sumOf("t3"))
	for _, text := range []string{good, json} {
		l, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for token, want := range map[string]server.Caller{
			"t1": {Name: "ci", Role: api.RoleOperate}, "t2": {Name: "ops@example.org", Role: api.RoleAdmin}, "t3": {Name: "ci", Role: api.RoleOperate},
			"t4": {}, "": {}, sumOf("t1"): {},
		} {
			if got, ok := l.Find(token); got != want || ok != (want != server.Caller{}) {
				t.Errorf("token %q is %v's (%v), want %v", token, got, ok, want)
			}
		}
	}
	for _, c := range []struct{ text, want string }{
		{"", "no token"},
		{"[]", "no token"},
		{"name: ci", "not a list"},
		{"- name: ci\n  token: secret\n", "token"},
		{good + "- {name: x, name: y}\n", "name"},
		{good + line("no:colon", "t9", api.RoleRead), "entry 4: name"},
		{good + line("scheduler", "t9", api.RoleRead), "entry 4: name"},
		{good + line("a", "t9", "root"), "entry 4: role"},
		{good + line("a", "t9", ""), "entry 4: role"},
		{good + "- {name: a, role: read, sha256: abc}", "entry 4: sha256"},
		{good + "- {name: a, role: read, sha256: " + sumOf("t9") + "00}", "entry 4: sha256"},
		{good + line("a", "t1", api.RoleRead), "entry 4: the sha256"},
		{good + line("a", "", api.RoleRead), "empty token"},
		{good + line("ci", "t9", api.RoleAdmin), "one role"},
		{good + strings.Repeat("#", sizeMax), "bytes"},
	} {
		if l, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, %v; want an error with %q", c.text, l, err, c.want)
		}
	}
}

// A token that was put into the file itself, where its hash belongs, beside it, or
// with all that token new printed, must not get into the error: that goes to a log.
func TestErrorsKeepTokens(t *testing.T) {
	token, _, err := NewToken("ci", api.RoleRead)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"- {name: ci, sha256: " + token + ", role: read}",
		"- {name: ci, token: " + token + ", role: read}",
		token,
		"the token of ci, shown this once:\nHOLDFAST_TOKEN=" + token + "\n" + line("ci", token, api.RoleRead),
		line("ci", token, api.RoleRead) + "the token of ci, shown this once:\nHOLDFAST_TOKEN=" + token + "\n",
	} {
		if _, err := Parse([]byte(text)); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A running file must be followed: a token that is added counts and one that is
// taken out does not; a file that is broken, empty or gone changes nothing and
// is logged once.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tokens.yaml")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * Poll)
			synctest.Wait()
		}
		if _, err := Open(path, hclog.NewNullLogger()); err == nil {
			t.Error("a file that is not there was opened")
		}
		write(line("a", "t1", api.RoleRead))
		var logs sink
		f, err := Open(path, hclog.New(&hclog.LoggerOptions{Output: &logs}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		knows := func(tokens ...string) {
			t.Helper()
			for _, token := range []string{"t1", "t2"} {
				_, got := f.Authenticate(token)
				if want := strings.Contains(strings.Join(tokens, " "), token); got != want {
					t.Errorf("token %s is known: %v, want %v", token, got, want)
				}
			}
		}
		knows("t1")
		write(line("a", "t1", api.RoleRead) + line("b", "t2", api.RoleAdmin))
		knows("t1", "t2")
		for _, broken := range []string{"- name: a\n  sha", "", "{}"} {
			before := logs.errors()
			write(broken)
			time.Sleep(time.Minute)
			synctest.Wait()
			knows("t1", "t2")
			if got := logs.errors() - before; got != 1 {
				t.Errorf("%q was logged %d times, want once", broken, got)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * Poll)
		synctest.Wait()
		knows("t1", "t2")
		write(line("b", "t2", api.RoleAdmin))
		knows("t2")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A new token must be accepted once its entry is in the file, and a name or
// role that the file may not have must be refused.
func TestNewToken(t *testing.T) {
	token, e, err := NewToken("ci", api.RoleOperate)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Parse([]byte(line(e.Name, token, e.Role)))
	if err != nil || e.SHA256 != sumOf(token) || len(token) < 20 {
		t.Fatalf("%+v for a token of %d bytes: %v", e, len(token), err)
	}
	if c, ok := l.Find(token); !ok || c.Name != "ci" || c.Role != api.RoleOperate {
		t.Errorf("the new token is %v's", c)
	}
	for _, c := range []struct {
		name string
		role api.Role
	}{{"", api.RoleRead}, {"node:n1", api.RoleRead}, {"x", "root"}} {
		if _, _, err := NewToken(c.name, c.role); err == nil {
			t.Errorf("%q with role %q was accepted", c.name, c.role)
		}
	}
}

// Whatever is in the file, reading it must end in a list or an error of one
// line, and a list has callers that may be, each with sums of its own, and none
// for whoever shows no token.
func FuzzParse(f *testing.F) {
	f.Add([]byte(line("ci", "t1", api.RoleOperate) + line("b", "t2", api.RoleAdmin)))
	f.Add([]byte(`[{"name":"a","sha256":"` + sumOf("t1") + `","role":"read"}]`))
	f.Add([]byte("- &a {name: a, role: read, sha256: x}\n- *a\n"))
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n"))
	f.Add([]byte("[]"))
	f.Add([]byte("- {name: a, name: b}\n"))
	for _, wrong := range []string{line("a:b", "t", api.RoleRead), line("a", "t", "root"), line("a", "", api.RoleRead), line("b", "t1", api.RoleRead)} {
		f.Add([]byte(line("ci", "t1", api.RoleOperate) + wrong))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := Parse(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		if len(l.callers) == 0 || len(l.callers) != len(l.sums) {
			t.Fatalf("%d callers, %d sums", len(l.callers), len(l.sums))
		}
		sums := map[[sha256.Size]byte]bool{}
		for i, c := range l.callers {
			sums[l.sums[i]] = true
			if !c.Role.Covers(api.RoleRead) || !nameForm.MatchString(c.Name) {
				t.Errorf("caller %d is %+v", i, c)
			}
		}
		if len(sums) != len(l.sums) {
			t.Error("a token has two callers")
		}
		if c, ok := l.Find(""); ok {
			t.Errorf("no token at all is %+v's", c)
		}
	})
}
