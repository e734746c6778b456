//go:build race

package cluster

// raceEnabled tells whether the race detector is on.
const raceEnabled = true
