package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// A data directory that another process has and a node port that is taken end
// Run before the log says that the API answers, and while the content volume is
// still untouched.
func TestRefusedBeforeAnything(t *testing.T) {
	for want, change := range map[string]func(w *world, c *Config){
		"n1 is in use by another process": func(w *world, c *Config) { c.Cluster.DataDir = w.agents["n1"].cfg.Cluster.DataDir },
		"TCP address 10.0.0.1:7400 is in use": func(w *world, c *Config) {
			c.Cluster.Network, c.Cluster.Listen, c.HTTP = w.net.Host("n1", nodeIP(1)), nodeIP(1)+":7400", nodeIP(1)+":7403"
		},
	} {
		t.Run(want, func(t *testing.T) { inBubble(t, refusedBeforeAnything(want, change)) })
	}
}

func refusedBeforeAnything(want string, change func(*world, *Config)) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		first := w.start(1)
		<-first.nodeBound(w)
		said := new(lockedBuffer)
		content := filepath.Join(w.root, "content")
		second := w.start(2, func(c *Config) {
			c.Cluster.Logger, c.ContentDir = hclog.New(&hclog.LoggerOptions{Output: said}), content
			change(w, c)
		})
		<-second.done
		if second.err == nil || !strings.Contains(second.err.Error(), want) {
			t.Errorf("got %v, want %q in it", second.err, want)
		}
		if strings.Contains(said.String(), "the API answers") {
			t.Errorf("before %q it said:\n%s", want, said)
		}
		if _, err := os.Stat(content); !os.IsNotExist(err) {
			t.Errorf("the content directory was made: %v", err)
		}
	}
}

// nodeBound waits for the node to be made, and returns what closes when its
// port is bound.
func (m *member) nodeBound(w *world) <-chan struct{} {
	w.until("the node is made", func() bool { return m.Node() != nil })
	return m.Node().Bound()
}
