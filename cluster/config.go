package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/gossip"
	"github.com/holdfast-cluster/holdfast/cluster/telemetry"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/transport"
)

// Profile chooses the heartbeat that a node asks for. The longest that a voter
// asks for is everybody's (rule S17).
type Profile string

// Profiles. With auto a node measures what it can bear: disk, network,
// processor. Local is for nodes on one machine, WAN for links of tens of
// milliseconds, LAN bears disks that are slow at times.
const (
	ProfileAuto  Profile = "auto"
	ProfileLocal Profile = "local"
	ProfileLAN   Profile = "lan"
	ProfileWAN   Profile = "wan"
)

// heartbeat returns the one that a profile fixes, 0 for one that measures. A
// kill of the leader costs about two of them.
func (p Profile) heartbeat() (fixed time.Duration, known bool) {
	switch p {
	case ProfileAuto:
		return 0, true
	case ProfileLocal:
		return 300 * time.Millisecond, true
	case ProfileLAN:
		return time.Second, true
	case ProfileWAN:
		return 2500 * time.Millisecond, true
	}
	return 0, false
}

// Config says what a Node is and where it lives.
type Config struct {
	// Node is the node's name. Required.
	Node placement.NodeID
	// DataDir is the data directory; it is made if it is not there. Required.
	DataDir string
	// Cluster is the cluster's name: nodes of another name are refused.
	// Default "holdfast".
	Cluster string
	// BootstrapExpect is how many servers begin the cluster: 1, 3 or 5; 0 =
	// only ever join one. It matters to an empty data directory only.
	BootstrapExpect int
	// Join is where to look for the cluster: node addresses, host:port, names
	// allowed. They are asked for ever. Without BootstrapExpect at least one
	// is needed, unless the data directory is of a member already.
	Join []string

	// Network is where the bytes go. Default: the machine's own.
	Network transport.Network
	// Listen is the node port. Default "127.0.0.1:7400".
	Listen string
	// Advertise is the node port as others reach it. Default: as bound.
	Advertise string
	// Wrap puts TLS under the streams of the node port. Default: plain.
	Wrap transport.Wrap
	// GossipKeys encrypts gossip, the same on all nodes. Default: not encrypted.
	GossipKeys *gossip.Keys
	// Insecure allows a node port that is not on a loopback address although
	// gossip key or TLS are missing.
	Insecure bool
	// Profile chooses the heartbeat that this node asks for. Default auto.
	Profile Profile

	// HTTP and Service are announced to the cluster as the addresses of the
	// node's API and of the user's own service. "" = none.
	HTTP, Service string
	// Zone, Labels, Capabilities and CapacityBytes are announced to the cluster.
	// Capacity 0 = unlimited.
	Zone          string
	Labels        placement.Labels
	Capabilities  placement.Capabilities
	CapacityBytes int64
	// Version is the build's, announced to the cluster. Default "devel".
	Version string

	// Runner makes and removes the local copies. nil = an external one, which
	// asks for its assignments and reports over HTTP.
	Runner holder.Runner
	// MaxPulls bounds the pulls that run at once. Default 2.
	MaxPulls int
	// Space returns what is free on the content volume and what content must
	// leave free, in bytes. nil = space is never short.
	Space func() (freeBytes, reserveBytes int64, err error)
	// CheckContent tells whether the content volume can be written and read. A
	// node whose volume cannot is sick (S18). nil = it always can.
	CheckContent func() error
	// Telemetry returns what this node measures now; its Coordinate is ignored.
	// It is asked once a second and must not block; the answers are smoothed and
	// gossiped. Default: nothing known.
	Telemetry func() placement.Sample
	// Registry holds the scorer. Default: one with the production scorer.
	Registry *scheduler.Registry

	// Logger is where the node logs. Default: nowhere.
	Logger hclog.Logger
	// Metrics are what the node counts. Default: counted for nobody.
	Metrics *Metrics
	// Gate, if set, is called before each write below the data directory. Tests
	// make a disk slow, hanging or broken with it.
	Gate func(what string) error
	// Snapshots says when raft writes a snapshot of the state. The zero value is
	// right for all but tests.
	Snapshots Snapshots
	// OnApply, if set, observes each log entry just before this node applies
	// it, in order, on raft's goroutine: it must be quick, and neither change
	// nor keep data. A restart applies what follows the last snapshot again, and
	// what a snapshot brings is not seen. For audits and tests.
	OnApply func(index, term uint64, data []byte)
	// Elapsed is the monotonic clock, since any moment, of which a leader makes
	// cluster time; Wall is the clock whose time stands beside the decisions, for
	// people. Default: the machine's. Tests make them wrong. Timers are not theirs.
	Elapsed func() time.Duration
	Wall    func() time.Time
}

// Snapshots says when raft writes a snapshot of the state. A field that is 0
// has raft's default.
type Snapshots struct {
	Entries  uint64        // applied since the last snapshot, before there is another; default 8192
	Every    time.Duration // how often that is checked; default 2 min
	Trailing uint64        // entries that stay behind a snapshot for slow followers; default 10240
}

func (s Snapshots) set(c *raft.Config) {
	c.SnapshotThreshold = cmp.Or(s.Entries, c.SnapshotThreshold)
	c.SnapshotInterval = cmp.Or(s.Every, c.SnapshotInterval)
	c.TrailingLogs = cmp.Or(s.Trailing, c.TrailingLogs)
}

// withDefaults returns the config with its defaults filled in.
func (c Config) withDefaults() Config {
	setDefault(&c.Cluster, "holdfast")
	setDefault(&c.Listen, "127.0.0.1:7400")
	setDefault(&c.Profile, ProfileAuto)
	setDefault(&c.Version, "devel")
	setDefault(&c.MaxPulls, 2)
	if c.Network == nil {
		c.Network = transport.System()
	}
	if c.Telemetry == nil {
		c.Telemetry = telemetry.Unknown
	}
	if c.Registry == nil {
		c.Registry = productionScorer()
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Elapsed == nil {
		began := time.Now()
		c.Elapsed = func() time.Duration { return time.Since(began) }
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics()
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate returns an error that begins with the first field that is missing,
// out of range or in contradiction to another, under the name of its flag.
func (c Config) Validate() error {
	c = c.withDefaults()
	if _, err := placement.ParseNodeID(string(c.Node)); err != nil {
		return fmt.Errorf("node-id: %w", err)
	}
	if c.DataDir == "" {
		return errors.New("data-dir: name the data directory")
	}
	if len(c.Cluster) > clusterNameMax {
		return fmt.Errorf("cluster: the name has %d bytes: at most %d are allowed", len(c.Cluster), clusterNameMax)
	}
	switch c.BootstrapExpect {
	case 0, 1, 3, 5:
	default:
		return fmt.Errorf("bootstrap-expect: %d is none of 0, 1, 3, 5", c.BootstrapExpect)
	}
	if c.BootstrapExpect > 1 && len(c.Join) == 0 {
		return fmt.Errorf("join: %d servers are to begin the cluster together: name at least one of the others", c.BootstrapExpect)
	}
	for _, addr := range c.Join {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("join: %q is not host:port: %w", addr, err)
		}
	}
	if _, ok := c.Profile.heartbeat(); !ok {
		return fmt.Errorf("profile: %q is none of auto, local, lan, wan", c.Profile)
	}
	if err := c.Capabilities.Check(); err != nil {
		return fmt.Errorf("capability: %w", err)
	}
	if c.CapacityBytes < 0 {
		return fmt.Errorf("capacity: %d is negative", c.CapacityBytes)
	}
	if _, err := placement.ParseNodeID(c.Zone); c.Zone != "" && err != nil {
		return fmt.Errorf("zone: %q is not a name: give 1 to %d of A-Z a-z 0-9 . _ -, the first a letter or digit", c.Zone, placement.NodeIDMax)
	}
	if c.MaxPulls < 1 {
		return fmt.Errorf("max-pulls: %d; give 1 or more", c.MaxPulls)
	}
	return c.validateExposure()
}

// clusterNameMax is what a gossip label and a handshake carry.
const clusterNameMax = 128

// validateExposure refuses a node port that strangers can reach without
// encryption: a malformed packet can crash an unencrypted gossip (design
// section 9).
func (c Config) validateExposure() error {
	if c.Insecure || c.GossipKeys != nil && c.Wrap.ServerConn != nil {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %q is not host:port: %w", c.Listen, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("listen: %s is not a loopback address: set a gossip key and TLS, or say insecure", c.Listen)
}
