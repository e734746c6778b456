// Package voters plans which servers of the raft configuration vote, one
// change at a time (safety rule S16).
//
// The number aimed at is the largest odd number that is neither above
// MaxVoters nor above the number of member servers, healthy or not, and never
// below the floor, min(3, bootstrap-expect): failures do not shrink the
// electorate. A dead voter gives its vote to a caught-up standby if there is
// one: with an odd number of voters it is demoted first, with an even number
// the standby is promoted first, so that never more healthy votes are needed
// for a majority than before (the order is that of hashicorp/raft-autopilot).
// A healthy server that must go is replaced before it goes. Either way the
// number may be one off the target between two changes. Voters are
// spread over zones. No change is planned that the healthy voters could not
// commit, or after which they would be no majority.
//
// It is pure: the same Input gives the same Change. It neither measures health
// nor carries anything out, and it never touches the leader but to have it hand
// over when it must go.
//
// Tests are tables of servers drawn as text, and random histories of failures.
package voters
