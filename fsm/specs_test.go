package fsm

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/holdfast-cluster/holdfast/placement"
)

// filled returns a value of a field's type that is not its zero, and another
// one.
func filled(t *testing.T, field reflect.Type) (one, other reflect.Value) {
	t.Helper()
	one, other = reflect.New(field).Elem(), reflect.New(field).Elem()
	switch {
	case field.Kind() == reflect.Pointer:
		a, b := filled(t, field.Elem())
		one.Set(reflect.New(field.Elem()))
		other.Set(reflect.New(field.Elem()))
		one.Elem().Set(a)
		other.Elem().Set(b)
	case field.Kind() == reflect.Slice && field.Elem().Kind() == reflect.String:
		one.Set(reflect.ValueOf([]string{"a"}))
		other.Set(reflect.ValueOf([]string{"b"}))
	case field.Kind() == reflect.Slice:
		one.Set(reflect.ValueOf(placement.Labels{{Key: "k", Value: "a"}}))
		other.Set(reflect.ValueOf(placement.Labels{{Key: "k", Value: "b"}}))
	case field.Kind() == reflect.String:
		one.SetString("a")
		other.SetString("b")
	case field.Kind() == reflect.Float64:
		one.SetFloat(1)
		other.SetFloat(0.5)
	default:
		one.SetInt(1)
		other.SetInt(2)
	}
	return one, other
}

// TestSameSpec: specs that differ in anything, down to the sign of a zero, are
// not shared, or two nodes could keep different ones. Each field is set in
// turn: to nothing, to one value and to another.
func TestSameSpec(t *testing.T) {
	all := reflect.TypeFor[placement.Spec]()
	for i := range all.NumField() {
		one, other := filled(t, all.Field(i).Type)
		with := func(x reflect.Value) *placement.Spec {
			s := new(placement.Spec)
			if x.IsValid() {
				reflect.ValueOf(s).Elem().Field(i).Set(x)
			}
			return s
		}
		versions := []*placement.Spec{with(reflect.Value{}), with(one), with(other)}
		for a := range versions {
			for b := range versions {
				if got := sameSpec(versions[a], versions[b]); got != (a == b) {
					t.Errorf("%s: versions %d and %d are the same: %t", all.Field(i).Name, a, b, got)
				}
			}
		}
		again, _ := filled(t, all.Field(i).Type)
		if !sameSpec(with(one), with(again)) {
			t.Errorf("%s: equal specs are not the same", all.Field(i).Name)
		}
	}
	if sameSpec(&placement.Spec{Floor: ptr(0.0)}, &placement.Spec{Floor: ptr(math.Copysign(0, -1))}) {
		t.Error("zero and minus zero are the same")
	}
}

// TestSpecsAreShared: chains with equal specs share one, a spec that differs is
// its own, and a million different ones leave nothing behind but what chains
// have. Chains are put with three wishes, one of them ever changing.
func TestSpecsAreShared(t *testing.T) {
	r := newRig(t)
	lazy := placement.Spec{Policy: placement.PolicyLazy, Labels: placement.Labels{{Key: "team", Value: "blue"}}}
	for i := range 3 {
		r.do(NewPutChain(placement.ChainID(fmt.Sprintf("a%d", i)), spec(3)))
		r.do(NewPutChain(placement.ChainID(fmt.Sprintf("b%d", i)), lazy))
		r.do(NewPutChain("c", placement.Spec{SizeBytes: int64(i + 1)}))
	}
	shared := func(a, b placement.ChainID, want bool) {
		t.Helper()
		if got := r.is(a).Spec == r.is(b).Spec; got != want {
			t.Errorf("chains %s and %s share a spec: %t", a, b, got)
		}
	}
	again := func() {
		t.Helper()
		shared("a0", "a2", true)
		shared("b0", "b2", true)
		shared("a0", "b0", false)
		shared("a0", "c", false)
	}
	again()
	r.restore()
	again()
}
