package agent

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/holder/filestore"
	"github.com/holdfast-cluster/holdfast/internal/secure"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
	"github.com/holdfast-cluster/holdfast/transport"
)

// RunnerKind says who makes and removes the copies.
type RunnerKind string

// Kinds of runners. Filestore keeps content as files. External is a program
// that asks for its assignments and reports over HTTP; the node then stores no
// content.
const (
	Filestore RunnerKind = "filestore"
	External  RunnerKind = "external"
)

// Config says what an [Agent] is.
type Config struct {
	// Cluster says what the node is: its name, data directory, node port, way
	// into the cluster, timers, labels, logger. The agent fills in HTTP, Space, CheckContent,
	// Wrap and GossipKeys and, if nil, Network, Registry, Telemetry and Metrics (shown at /metrics).
	// If Runner is set, it makes the copies and Runner below must be empty.
	Cluster cluster.Config
	// HTTP is the API's port. Default "127.0.0.1:7401"; port 0 takes a free one.
	HTTP string
	// HTTPAdvertise is the API's port as others reach it. Default: as bound;
	// required when HTTP has no host of its own (0.0.0.0).
	HTTPAdvertise string
	// AuthFile is the file of tokens that the API takes, in the form of package
	// authfile. It is read again when it changes. Default: none, and whoever
	// reaches the API may do everything.
	AuthFile string
	// TLS names the files that secure the node port, and, unless HTTPTLS does,
	// the API's port: all three, or none for plain ports. They are followed as they
	// change.
	TLS secure.Paths
	// HTTPTLS names certificate and key of the API's port, if they are others.
	HTTPTLS secure.Paths
	// GossipKey encrypts gossip: 16, 24 or 32 bytes, the same on all nodes.
	// Default: not encrypted.
	GossipKey []byte
	// GossipKeyFile names a file of such keys instead, in base64, one a line: the
	// first encrypts, all decrypt. It is followed as it changes.
	GossipKeyFile string
	// Runner says who makes the copies. Default filestore.
	Runner RunnerKind
	// Scorer scores nodes for chains. Default: the production scorer. Install
	// another in [Agent.Registry] at any time.
	Scorer scheduler.PlacementScorer

	// ContentDir is where the filestore keeps content. Default: "content" in
	// the data directory. It must exist or be makeable; a volume of its own
	// keeps content from starving the log.
	ContentDir string
	// DiskReserve is how many bytes of its volume content never uses. Default:
	// 1 GiB or 5 % of the volume, the larger.
	DiskReserve int64
	// Volume measures the volume of ContentDir. Default: the operating system's
	// word. Cluster.CapacityBytes, if 0, becomes its size less the reserve.
	Volume func() (freeBytes, totalBytes int64, err error)
	// Machine measures the machine. What it has, and the size of Volume, is
	// announced beside Cluster.Capabilities, which win. Default: the operating
	// system's word.
	Machine Machine
}

// withDefaults returns the config with its defaults filled in.
func (c Config) withDefaults() Config {
	if c.HTTP == "" {
		c.HTTP = "127.0.0.1:7401"
	}
	if c.Runner == "" && c.Cluster.Runner == nil {
		c.Runner = Filestore
	}
	if c.Cluster.Cluster == "" {
		c.Cluster.Cluster = "holdfast"
	}
	if c.Cluster.Network == nil {
		c.Cluster.Network = transport.System()
	}
	if c.Cluster.Registry == nil {
		c.Cluster.Registry = new(scheduler.Registry)
		if c.Scorer == nil {
			c.Scorer = scorer.New()
		}
		c.Cluster.Registry.Install(c.Scorer)
	}
	if c.Cluster.Logger == nil {
		c.Cluster.Logger = hclog.NewNullLogger()
	}
	if c.Cluster.Version == "" {
		c.Cluster.Version = "devel"
	}
	machine := thisMachine()
	if c.Machine.Has == nil {
		c.Machine.Has = machine.Has
	}
	if c.Machine.Reads == nil {
		c.Machine.Reads = machine.Reads
	}
	if c.Volume == nil {
		c.Volume = func() (int64, int64, error) { return volumeAt(c.volumeDir()) }
	}
	return c
}

// contentDir is the default content directory, in the data directory. It may be
// a volume of its own.
const contentDir = "content"

// volumeDir is the content directory, or its nearest parent that exists.
func (c Config) volumeDir() string {
	dir := c.ContentDir
	if dir == "" {
		dir = filepath.Join(c.Cluster.DataDir, contentDir)
	}
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// Validate returns an error that begins with the name of the first field that
// is missing, out of range or in contradiction to another, spelt as the flag
// of the command line.
func (c Config) Validate() error {
	if c.Scorer != nil && c.Cluster.Registry != nil {
		return wrong("scorer", "Cluster.Registry holds one already: leave one of them out")
	}
	c = c.withDefaults()
	switch {
	case c.Runner != "" && c.Cluster.Runner != nil:
		return wrong("runner", "Cluster.Runner makes the copies already: leave one of them out")
	case c.Runner != "" && c.Runner != Filestore && c.Runner != External:
		return wrong("runner", "%q is neither filestore nor external", c.Runner)
	case c.Runner != Filestore && c.ContentDir != "":
		return wrong("content-dir", "only the filestore keeps content")
	case c.DiskReserve < 0:
		return wrong("disk-reserve", "%d is negative", c.DiskReserve)
	}
	for _, f := range []struct{ name, value string }{{"http", c.HTTP}, {"http-advertise", c.HTTPAdvertise}} {
		host, _, err := net.SplitHostPort(f.value)
		switch {
		case f.value == "" && f.name == "http-advertise":
		case err != nil:
			return wrong(f.name, "%q is not host:port", f.value)
		case anyAddress(host) && (f.name == "http-advertise" || c.HTTPAdvertise == ""):
			return wrong(f.name, "%q cannot be reached by others: set http-advertise to what they use", f.value)
		}
	}
	return c.validateSecurity()
}

// wrong is the error of a field.
func wrong(field, format string, args ...any) error {
	return fmt.Errorf("%s: %w", field, fmt.Errorf(format, args...))
}

func anyAddress(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// node returns the configuration of the node, whose API others reach at http.
func (c Config) node(http string, s *store, secured secured) (cluster.Config, error) {
	n := c.Cluster
	n.HTTP = secured.announced(http)
	n.Wrap, n.GossipKeys = secured.wrap(), secured.keys
	if n.Telemetry == nil {
		n.Telemetry = func() placement.Sample {
			sample := c.Machine.Reads()
			sample.FreeBytes = s.free.Load() // what the node measured last: measuring may block
			return sample
		}
	}
	has := c.Machine.Has()
	var total int64
	var unmeasured error
	if c.Runner == Filestore {
		n.Runner, n.Space, n.CheckContent = holder.Runner(s), s.space, s.check
		if _, total, unmeasured = c.Volume(); unmeasured == nil {
			has = append(has, placement.Capability{Key: placement.CapabilityDiskBytes, Number: float64(total), IsNumber: true})
		}
	}
	var err error
	if n.Capabilities, err = capabilities(has, n.Capabilities); err != nil {
		return n, err
	}
	if c.Runner == Filestore && n.CapacityBytes == 0 {
		if unmeasured != nil {
			return n, fmt.Errorf("measure the content volume: %w; set a capacity", unmeasured)
		}
		reserve := c.DiskReserve
		if reserve == 0 {
			reserve = filestore.DefaultReserve(total)
		}
		n.CapacityBytes = max(total-reserve, 1)
	}
	return n, nil
}
