package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/internal/secure"
	"github.com/holdfast-cluster/holdfast/placement"
)

// agentFlags is the flags of `holdfast agent`.
type agentFlags struct {
	config, nodeID, dataDir                string
	listen, advertise, http, httpAdvertise string
	serviceAddr, cluster                   string
	expect                                 int
	join, labels, capabilities             []string
	zone, capacity, contentDir, reserve    string
	maxPulls                               int
	role, runner, profile, gossipKey       string
	gossipKeyFile, tlsCA, tlsCert, tlsKey  string
	httpTLSCert, httpTLSKey, authFile      string
	insecure                               bool
	logLevel, logFormat                    string
	writeDelay                             time.Duration
}

func newAgentFlags(f *pflag.FlagSet) *agentFlags {
	v := new(agentFlags)
	f.StringVar(&v.config, configFlag, "", "file of settings in YAML: each key is the name of a flag, unknown ones are refused")
	f.StringVar(&v.nodeID, "node-id", "", "name of the node (default: the host's name, lower case)")
	f.StringVar(&v.dataDir, "data-dir", "", "directory of the node's data; required")
	f.StringVar(&v.listen, "listen", "127.0.0.1:7400", "node port, TCP and UDP, for the other nodes")
	f.StringVar(&v.advertise, "advertise", "", "node port as others reach it (required if --listen is 0.0.0.0)")
	f.StringVar(&v.http, "http", "127.0.0.1:7401", "port of the API")
	f.StringVar(&v.httpAdvertise, "http-advertise", "", "port of the API as others reach it (required if --http is 0.0.0.0)")
	f.StringVar(&v.serviceAddr, "service-addr", "", "where your own service listens on this machine; shown with each copy")
	f.StringVar(&v.cluster, "cluster", "holdfast", "name of the cluster; nodes of another are refused")
	f.IntVar(&v.expect, "bootstrap-expect", 0, "how many servers begin a new cluster together: 1, 3 or 5; 0 only joins one")
	f.StringSliceVar(&v.join, "join", nil, "node port of a member, or of another that begins the cluster; DNS names allowed, asked for ever (repeatable)")
	f.StringVar(&v.zone, "zone", "", "failure domain of the machine: copies of a chain are spread over zones")
	f.StringSliceVar(&v.labels, "label", nil, "KEY=VALUE that chains may require or prefer (repeatable)")
	f.StringSliceVar(&v.capabilities, "capability", nil, "KEY=VALUE that chains may require or prefer, a number, a size or a text; goes before what is measured: cores, memory_bytes, disk_bytes (repeatable)")
	f.StringVar(&v.capacity, "capacity", "", "bytes offered to content, such as 500GiB (default: the volume less --disk-reserve)")
	f.StringVar(&v.contentDir, "content-dir", "", "directory of the content (default: in the data directory)")
	f.StringVar(&v.reserve, "disk-reserve", "", "bytes of its volume that content never uses (default: 1GiB or 5 %, the larger)")
	f.IntVar(&v.maxPulls, "max-pulls", 2, "copies fetched at the same time")
	f.StringVar(&v.role, "role", "server", "server: takes part in raft; client is not built yet")
	f.StringVar(&v.runner, "runner", "filestore", "who makes the copies: filestore keeps content as files; external is a program of yours that uses the HTTP API")
	f.StringVar(&v.profile, "profile", "auto", "heartbeat that this node asks for; the longest that a voter asks for is everybody's: auto measures disk, network and processor (150 ms to 5 s), local 300 ms, lan 1 s, wan 2.5 s")
	f.StringVar(&v.gossipKey, "gossip-key", "", "key that encrypts gossip, the same on all nodes: 16, 24 or 32 bytes in base64")
	f.StringVar(&v.gossipKeyFile, "gossip-key-file", "", "file of such keys, one a line: the first encrypts, all decrypt; followed as it changes")
	f.StringVar(&v.tlsCA, "tls-ca", "", "file (PEM) of the authority that signs the nodes' certificates; with the next two: TLS on both ports, files followed as they change")
	f.StringVar(&v.tlsCert, "tls-cert", "", "file (PEM) of this node's certificate, which bears the name node.CLUSTER.holdfast")
	f.StringVar(&v.tlsKey, "tls-key", "", "file (PEM) of its private key")
	f.StringVar(&v.httpTLSCert, "http-tls-cert", "", "file (PEM) of another certificate for the API")
	f.StringVar(&v.httpTLSKey, "http-tls-key", "", "file (PEM) of its private key")
	f.StringVar(&v.authFile, "auth-file", "", "file of the tokens that the API takes (\"holdfast token new\" makes one); read again when it changes")
	f.BoolVar(&v.insecure, "insecure", false, "allow ports beyond this machine without encryption and authentication")
	f.StringVar(&v.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	f.StringVar(&v.logFormat, "log-format", "text", "text or json")
	f.DurationVar(&v.writeDelay, testWriteDelay, 0, "a test aid of bench failover: each write below the data directory takes so much longer")
	_ = f.MarkHidden(testWriteDelay) // fails only for a flag that is not there
	return v
}

// testWriteDelay is the flag with which bench failover makes disks slow.
const testWriteDelay = "test-write-delay"

// agentConfig turns the flags into the agent's configuration, and refuses
// what contradicts itself or is not safe, naming the flag.
func (p *program) agentConfig(v *agentFlags) (agent.Config, error) {
	var cfg agent.Config
	if err := v.checkBuilt(); err != nil {
		return cfg, err
	}
	if err := p.identify(v); err != nil {
		return cfg, err
	}
	if err := v.checkEntry(); err != nil {
		return cfg, err
	}
	if err := v.checkExposure(); err != nil {
		return cfg, err
	}
	cfg = agent.Config{
		HTTP: v.http, HTTPAdvertise: v.httpAdvertise, AuthFile: v.authFile,
		TLS:     secure.Paths{CA: v.tlsCA, Cert: v.tlsCert, Key: v.tlsKey},
		HTTPTLS: secure.Paths{Cert: v.httpTLSCert, Key: v.httpTLSKey}, GossipKeyFile: v.gossipKeyFile,
		ContentDir: v.contentDir, Runner: agent.RunnerKind(v.runner),
		Cluster: cluster.Config{
			Node: placement.NodeID(v.nodeID), DataDir: v.dataDir, Cluster: v.cluster,
			BootstrapExpect: v.expect, Join: v.join,
			Listen: v.listen, Advertise: v.advertise, Insecure: v.insecure,
			Profile: cluster.Profile(v.profile), Service: v.serviceAddr, Zone: v.zone,
			MaxPulls: v.maxPulls, Version: version,
		},
	}
	err := v.fill(&cfg)
	return cfg, err
}

// fill reads the flags that are more than words.
func (v *agentFlags) fill(cfg *agent.Config) error {
	if v.maxPulls < 1 {
		return usage("--max-pulls: %d; give 1 or more", v.maxPulls)
	}
	labels, err := parseLabels(v.labels)
	if err == nil {
		cfg.Cluster.Labels, err = placement.LabelsOf(labels)
	}
	if err != nil {
		return usage("--label: %w", err)
	}
	if cfg.Cluster.Capabilities, err = parseCapabilities(v.capabilities); err != nil {
		return usage("--capability: %w", err)
	}
	if v.capacity != "" {
		if cfg.Cluster.CapacityBytes, err = parseBytes(v.capacity); err != nil {
			return usage("--capacity: %w", err)
		}
	}
	if v.reserve != "" {
		if cfg.DiskReserve, err = parseBytes(v.reserve); err != nil {
			return usage("--disk-reserve: %w", err)
		}
	}
	if v.writeDelay < 0 {
		return usage("--%s: %v is negative", testWriteDelay, v.writeDelay)
	}
	if v.writeDelay > 0 {
		cfg.Cluster.Gate = func(string) error { time.Sleep(v.writeDelay); return nil }
	}
	if v.gossipKey != "" {
		if cfg.GossipKey, err = secure.ParseKey(v.gossipKey); err != nil {
			return usage("--gossip-key: %w", err)
		}
	}
	return nil
}

// parseCapabilities reads KEY=VALUE words, each key once.
func parseCapabilities(words []string) (placement.Capabilities, error) {
	all := map[string]any{}
	for _, word := range words {
		c, err := placement.ParseCapability(word)
		if err != nil {
			return nil, err
		}
		if _, twice := all[c.Key]; twice {
			return nil, fmt.Errorf("%s is given twice", c.Key)
		}
		if all[c.Key] = c.Text; c.IsNumber {
			all[c.Key] = c.Number
		}
	}
	return placement.CapabilitiesOf(all)
}

// checkBuilt refuses what this release does not have: a flag that is silently
// ignored is worse than none.
func (v *agentFlags) checkBuilt() error {
	switch v.role {
	case "server":
		return nil
	case "client":
		return usage("--role client: unsupported, this release has servers only: leave --role out; servers beyond the voters are standbys")
	}
	return usage("--role: %q is neither server nor client", v.role)
}

// identify fills in the node's name and wants a place for its data.
func (p *program) identify(v *agentFlags) error {
	if v.nodeID == "" {
		host, err := p.hostname()
		if err != nil {
			return usage("--node-id: the host has no name (%w): give one", err)
		}
		v.nodeID = strings.ToLower(host)
	}
	if _, err := placement.ParseNodeID(v.nodeID); err != nil {
		return usage("--node-id: %w", err)
	}
	if v.dataDir == "" {
		return usage("--data-dir is missing: name a directory on a disk of this machine")
	}
	return nil
}

// checkEntry refuses a node that can neither begin a cluster, nor join one,
// nor is a member already.
func (v *agentFlags) checkEntry() error {
	if v.expect != 0 || len(v.join) > 0 {
		return nil
	}
	entries, err := os.ReadDir(v.dataDir)
	if err == nil && len(entries) > 0 {
		return nil
	}
	if err != nil && !os.IsNotExist(err) {
		return usage("--data-dir: %w", err)
	}
	return usage("nothing says which cluster node %s belongs to: give --bootstrap-expect to begin one, --join to enter one, or a --data-dir that is not new (%s is)", v.nodeID, filepath.Clean(v.dataDir))
}

// checkExposure refuses ports that strangers could reach, unless that is
// allowed in so many words.
func (v *agentFlags) checkExposure() error {
	for _, f := range []struct{ flag, value, advertise, advertiseFlag string }{
		{"listen", v.listen, v.advertise, "advertise"},
		{"http", v.http, v.httpAdvertise, "http-advertise"},
	} {
		host, _, err := net.SplitHostPort(f.value)
		if err != nil {
			return usage("--%s: %q is not host:port", f.flag, f.value)
		}
		if anyAddress(host) && f.advertise == "" {
			return usage("--%s: others cannot reach %q: say with --%s which address they use", f.flag, f.value, f.advertiseFlag)
		}
		if f.advertise != "" {
			if h, _, err := net.SplitHostPort(f.advertise); err != nil || anyAddress(h) {
				return usage("--%s: %q is not host:port with a host that others can reach", f.advertiseFlag, f.advertise)
			}
		}
		switch {
		case loopback(host) || v.insecure || f.flag == "listen" && v.secured():
			continue
		case f.flag == "http" && v.authFile != "":
			continue
		case f.flag == "http":
			return usage("--http: %s can be reached from other machines, and nothing says who may use it: give --auth-file, use a loopback address, or say --insecure", f.value)
		}
		return usage("--listen: %s can be reached from other machines, which needs TLS (--tls-ca, --tls-cert, --tls-key) and --gossip-key-file (holdfast tls init makes them): give them, use a loopback address, or say --insecure", f.value)
	}
	return nil
}

// secured tells whether the node port is closed to strangers.
func (v *agentFlags) secured() bool {
	return v.tlsCert != "" && v.gossipKey+v.gossipKeyFile != ""
}

// anyAddress tells whether a host stands for all addresses of the machine.
func anyAddress(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
