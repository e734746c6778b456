package server

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/placement"
)

// readSpec turns a spec of a request into the state's. Its error names the
// field under prefix.
func readSpec(prefix string, in *api.Spec) (placement.Spec, error) {
	out := placement.Spec{
		Policy: placement.Policy(in.Policy), Floor: in.Floor, Gap: in.Gap,
		Cooldown: (*time.Duration)(in.Cooldown), RepairDelay: (*time.Duration)(in.RepairDelay),
		Require: in.Require, Prefer: in.Prefer,
		Spread: placement.Spread(in.Spread), AntiAffinity: in.AntiAffinity, Colocate: in.Colocate, Near: in.Near,
	}
	err := readSpecNumbers(&out, in)
	if err == nil {
		var labels placement.Labels
		if labels, err = placement.LabelsOf(in.Labels); err != nil {
			err = fmt.Errorf("labels: %w", err)
		}
		out.Labels = labels
	}
	if err == nil {
		out, err = out.Normalize()
	}
	if err == nil {
		return out, nil
	}
	field, _, _ := strings.Cut(err.Error(), ":")
	return out, api.InvalidField(prefix+field, "%s%v", prefix, err)
}

// readSpecNumbers reads what the state writes as 0 for "not said": a 0 that
// the user does say is out of range.
func readSpecNumbers(out *placement.Spec, in *api.Spec) error {
	if in.Desired != nil {
		if out.Desired = *in.Desired; out.Desired == 0 {
			return fmt.Errorf("desired: 0 is not within %d..%d", placement.DesiredMin, placement.DesiredMax)
		}
	}
	if in.MinReady != nil {
		if out.MinReady = *in.MinReady; out.MinReady == 0 {
			return errorf("min_ready: 0 is not within 1..desired")
		}
	}
	if in.MaxPerZone != nil {
		if out.MaxPerZone = *in.MaxPerZone; out.MaxPerZone == 0 {
			return fmt.Errorf("max_per_zone: 0 is not within 1..%d", placement.DesiredMax)
		}
	}
	if in.SizeBytes != nil {
		out.SizeBytes = *in.SizeBytes
	}
	if in.Weight != nil {
		w := *in.Weight
		if w*float64(placement.ScoreOne) < 1 || w > placement.WeightMax {
			return fmt.Errorf("weight: %v is not within 0.000001..%d", w, placement.WeightMax)
		}
		out.Weight = int64(math.Round(w * float64(placement.ScoreOne)))
	}
	return nil
}
