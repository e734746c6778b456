package api

import (
	"encoding/json"
	"testing"
	"time"
)

// Times, spans, durations and empty strings must have exactly the JSON form of
// the contract and come back as they were: each is written, compared and read.
func TestScalars(t *testing.T) {
	type all struct {
		T ClusterTime
		S Seconds
		D Duration
		N NullString
	}
	cases := []struct {
		in   all
		want string
	}{
		{all{}, `{"T":null,"S":0.000,"D":"0s","N":null}`},
		{
			all{ClusterTime(90500 * time.Millisecond), Seconds(1500 * time.Millisecond), Duration(90 * time.Second), "x"},
			`{"T":90.500,"S":1.500,"D":"1m30s","N":"x"}`,
		},
		{all{T: ClusterTime(time.Millisecond)}, `{"T":0.001,"S":0.000,"D":"0s","N":null}`},
	}
	for _, c := range cases {
		got, err := json.Marshal(c.in)
		if err != nil || string(got) != c.want {
			t.Errorf("got %s, %v; want %s", got, err, c.want)
		}
		var back all
		if err := json.Unmarshal(got, &back); err != nil || back != c.in {
			t.Errorf("read back %+v, %v; want %+v", back, err, c.in)
		}
	}
}

// null must be readable into every scalar: what means nothing by it keeps what
// it was, and the others become empty.
func TestScalarsNull(t *testing.T) {
	v := struct {
		T ClusterTime
		S Seconds
		D Duration
		P *Duration
		N NullString
	}{1, 2, 3, new(Duration), "x"}
	if err := json.Unmarshal([]byte(`{"T":null,"S":null,"D":null,"P":null,"N":null}`), &v); err != nil {
		t.Fatal(err)
	}
	if v.T != 0 || v.S != 2 || v.D != 3 || v.P != nil || v.N != "" {
		t.Errorf("got %+v", v)
	}
}

// What is no duration, time or string must be refused: each bad value is read
// into its type.
func TestScalarsRefuse(t *testing.T) {
	for _, c := range []struct {
		into any
		data string
	}{
		{new(Duration), `5`},
		{new(Duration), `"5"`},
		{new(Duration), `"soon"`},
		{new(ClusterTime), `"1"`},
		{new(ClusterTime), `1e30`},
		{new(Seconds), `true`},
		{new(NullString), `7`},
	} {
		if err := json.Unmarshal([]byte(c.data), c.into); err == nil {
			t.Errorf("%T accepted %s", c.into, c.data)
		}
	}
}

// Each code must have the status of the contract; a refusal that the contract
// does not list otherwise is a conflict.
func TestStatus(t *testing.T) {
	want := map[int][]Code{
		400: {Invalid},
		401: {Unauthorized},
		403: {Forbidden},
		404: {UnknownChain, UnknownNode},
		412: {StaleGeneration, StaleContent},
		413: {TooLarge},
		422: {IdempotencyMismatch},
		429: {Overloaded},
		501: {Unsupported},
		503: {NotReady, NoLeader, NoLiveCopy, TooFewHolders, OutcomeUnknown},
		507: {NoSpace},
		409: {
			StaleDecision, StaleTerm, StaleConfig, StaleEpoch, StalePlan, NotHolder, AlreadyHolder, MoveOpen, NoMove,
			Cooling, Frozen, RepairPaused, RestoreGuard, Pinned, BelowMinReady, LastCopy, OverReplicated, OverCapacity,
			IneligibleTarget, BudgetCluster, BudgetNode, NoSource, Exists, NodeNotEmpty, NodeIDTaken,
		},
	}
	for status, codes := range want {
		for _, c := range codes {
			if got := Status(c); got != status {
				t.Errorf("Status(%s) = %d, want %d", c, got, status)
			}
		}
	}
}

// A problem must carry its status, type and field, and every key even when
// empty: one is marshalled whole.
func TestProblem(t *testing.T) {
	p := InvalidField("spec.desired", "spec.desired: %d is not within 1..9", 10)
	got, err := json.Marshal(p)
	want := `{"type":"urn:holdfast:invalid","title":"invalid","status":400,"detail":"spec.desired: 10 is not within 1..9",` +
		`"code":"invalid","field":"spec.desired","leader":null}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	if got, want := p.Error(), "spec.desired: 10 is not within 1..9 (invalid)"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
