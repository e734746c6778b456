package fsm

import (
	"math"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// specs lets chains with equal specs share one. It has one place per hash, so
// that it stays small whatever users write: a spec that finds another in its
// place takes it, and the other is still shared by the chains that have it.
type specs [1024]*placement.Spec

// share returns a spec that equals s and that other chains may have too.
func (p *specs) share(s *placement.Spec) *placement.Spec {
	place := &p[specHash(s)%uint64(len(p))]
	if *place == nil || !sameSpec(*place, s) {
		*place = s
	}
	return *place
}

// specHash is the FNV-1a hash of what specs mostly differ in.
func specHash(s *placement.Spec) uint64 {
	h := uint64(14695981039346656037)
	mix := func(x uint64) { h = (h ^ x) * 1099511628211 }
	text := func(t string) {
		for i := range len(t) {
			mix(uint64(t[i]))
		}
	}
	for _, n := range []int64{int64(s.Desired), int64(s.MinReady), int64(s.MaxPerZone), s.SizeBytes, s.Weight} {
		mix(uint64(n)) //nolint:gosec // any bits will do
	}
	for _, l := range s.Labels {
		text(l.Key)
		text(l.Value)
	}
	for _, list := range [][]string{s.Require, s.Prefer, s.AntiAffinity, s.Colocate, s.Near} {
		for _, expr := range list {
			text(expr)
		}
	}
	text(string(s.Policy))
	return h ^ h>>32
}

// sameSpec tells whether two specs are equal to the last bit: what chains
// share must not depend on which of them came first.
func sameSpec(a, b *placement.Spec) bool {
	return a == b || a.Desired == b.Desired && a.MinReady == b.MinReady && a.SizeBytes == b.SizeBytes && a.Weight == b.Weight &&
		a.Policy == b.Policy && a.Spread == b.Spread && a.MaxPerZone == b.MaxPerZone &&
		sameFloat(a.Floor, b.Floor) && sameFloat(a.Gap, b.Gap) &&
		sameValue(a.Cooldown, b.Cooldown) && sameValue(a.RepairDelay, b.RepairDelay) &&
		slices.Equal(a.Labels, b.Labels) && slices.Equal(a.Require, b.Require) && slices.Equal(a.Prefer, b.Prefer) &&
		slices.Equal(a.AntiAffinity, b.AntiAffinity) && slices.Equal(a.Colocate, b.Colocate) && slices.Equal(a.Near, b.Near)
}

// sameFloat tells zero from minus zero.
func sameFloat(a, b *float64) bool {
	return sameValue(a, b) && (a == nil || math.Signbit(*a) == math.Signbit(*b))
}

func sameValue[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}
