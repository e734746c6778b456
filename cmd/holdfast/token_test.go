package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-cluster/holdfast/agent/authfile"
	"github.com/holdfast-cluster/holdfast/api"
)

// What "token new" writes, twice into one file, must be a file that knows both
// tokens; what is wrong must be refused with the name of the flag.
func TestTokenNew(t *testing.T) {
	first := execute(t, nil, "", "token", "new", "--name", "on", "--role", "operate")
	second := execute(t, nil, "", "token", "new", "--name", "x")
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	if err := os.WriteFile(path, []byte(first.out+second.out), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := authfile.Open(path, hclog.NewNullLogger())
	if err != nil {
		t.Fatalf("%v in\n%s%s", err, first.out, second.out)
	}
	for _, c := range []struct {
		r    ran
		name string
		role api.Role
	}{{first, "on", api.RoleOperate}, {second, "x", api.RoleRead}} {
		_, token, _ := strings.Cut(strings.TrimSpace(c.r.err), "HOLDFAST_TOKEN=")
		if got, ok := f.Authenticate(token); !ok || got.Name != c.name || got.Role != c.role || strings.Contains(c.r.out, token) {
			t.Errorf("%q is %+v's; output:\n%s", token, got, c.r.out)
		}
	}
	for flag, args := range map[string][]string{
		"--name": {"token", "new"},
		"--role": {"token", "new", "--name", "x", "--role", "root"},
	} {
		if r := execute(t, nil, "", args...); r.code != exitUsage || !strings.Contains(r.err, flag) {
			t.Errorf("%v: exit %d, %s", args, r.code, r.err)
		}
	}
}
