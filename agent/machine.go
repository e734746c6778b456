package agent

import (
	"math"
	"runtime"

	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/holdfast-cluster/holdfast/cluster/telemetry"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Machine measures the machine that a node runs on.
type Machine struct {
	// Has returns what seldom changes; it is asked once, at the start.
	Has func() placement.Capabilities
	// Reads returns the readings of this moment, asked for once a second. It
	// must not block. The content volume is not its business: see
	// [Config.Volume].
	Reads func() placement.Sample
}

// thisMachine asks the operating system. What that does not tell is left out.
func thisMachine() Machine {
	return Machine{
		Has: func() placement.Capabilities {
			list := placement.Capabilities{{Key: placement.CapabilityCores, Number: float64(runtime.NumCPU()), IsNumber: true}}
			if m, err := mem.VirtualMemory(); err == nil {
				list = append(list, placement.Capability{Key: placement.CapabilityMemoryBytes, Number: float64(m.Total), IsNumber: true})
			}
			return list
		},
		Reads: func() placement.Sample {
			s := telemetry.Unknown()
			if l, err := load.Avg(); err == nil {
				s.Load = l.Load1 / float64(runtime.NumCPU())
			}
			if m, err := mem.VirtualMemory(); err == nil {
				s.MemoryFreeBytes = int64(min(m.Available, math.MaxInt64))
			}
			return s
		},
	}
}

// capabilities joins what was measured with what the operator says, who is
// right where they differ.
func capabilities(measured, said placement.Capabilities) (placement.Capabilities, error) {
	all := measured.Map()
	for key, value := range said.Map() {
		all[key] = value
	}
	list, err := placement.CapabilitiesOf(all)
	if err != nil {
		return nil, wrong("capability", "%w", err)
	}
	return list, nil
}
