package fsm_test

import (
	"bytes"
	"fmt"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// A state of any size is made without its history: the tables of a copy of an
// empty view are set, and what it writes is restored. Sums and indexes are
// rebuilt on the way.
func ExampleMachine_Restore() {
	v := *fsm.New().View()
	v.ClusterID, v.ClusterName, v.Lineage = "id", "example", "lineage"
	v.Revision, v.Now = 4, 1e9
	v.Nodes = placement.TableOf(map[placement.NodeID]*placement.Node{
		"attic": {ID: "attic", Incarnation: 1, Inventoried: true, State: placement.NodeAlive, Eligibility: placement.Eligible, Weight: placement.ScoreOne},
	})
	v.Chains = placement.TableOf(map[placement.ChainID]*placement.Chain{
		"diary": {
			ID: "diary", Generation: 2, Revision: 4, EverReady: true, Spec: &placement.Spec{Desired: 1, Weight: int64(placement.ScoreOne)},
			Holders: []placement.Holder{{Node: "attic", Epoch: 3, Phase: placement.Ready, SizeBytes: 7}},
		},
	})
	var snapshot bytes.Buffer
	m := fsm.New()
	if _, err := v.WriteTo(&snapshot); err != nil {
		fmt.Println(err)
	}
	if err := m.Restore(&snapshot); err != nil {
		fmt.Println(err)
	}
	fmt.Println(m.View().HealthOf(m.View().Chain("diary")), m.View().Usage("attic").UsedBytes)
	// Output: healthy 7
}
