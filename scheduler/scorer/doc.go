// Package scorer is the production [scheduler.PlacementScorer].
//
// A score is gate × relative weight × the worst of the soft axes:
//
//   - gate: 0 where the node may not hold the chain or is being drained, else 1.
//   - relative weight: the node's weight over the largest weight among the
//     eligible nodes, so that only differences count.
//   - free: 1 while at most 80 % of the node's bytes are used or reserved,
//     falling linearly to 0 at 95 %.
//   - load: how far the node's placed weight per capacity stands above that of
//     the emptiest node that could take the copy, as rule S22 defines it.
//   - health: the worse of the node's run queue and memory, from telemetry.
//   - spread: whether the node's zone holds more of the chain's copies than its
//     share.
//   - anti-affinity: how many copies of chains to keep away from are there.
//   - prefer, colocate: the share of soft wishes that the node does not meet.
//   - near: the round trip to the nearest of the nodes to be close to.
//
// The worst axis counts and not the product (rule S23): many small blemishes
// must not add up to a bad node. An alternative is scored as it would be after
// the move, once a given holder's copy is gone. An axis that is unknown is left
// out for a holder and 0.5 for an alternative, so that silence never beats
// evidence; an axis of which no eligible node knows anything is left out for
// all.
//
// A [Scorer] knows nothing by itself and has no opinion: a pass binds it to a
// view, and the bound scorer follows what the pass reserves. It is pure, reads
// no clock and keeps nothing between passes. A Scorer may be shared by
// goroutines; a bound one belongs to its pass.
//
// A bound scorer also screens: for a class of copies on a node it tells, from
// the nodes alone, whether balance could want to move any, so that an even
// cluster of a million chains costs no look at a chain.
//
// Tests are text files of curves and scores in testdata, properties on drawn
// clusters, and simulations that must come to rest without moving a chain back.
package scorer
