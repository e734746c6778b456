package scorer

// band is how far above the emptiest node, relative to the mean, a node may
// stand before its copies are below the default floor (rule S22).
const band = 0.1

// load is clamp(1 − d/(2·band), 0, 1), where d = (u − low)/mean says how far a
// node's load u stands above the least that the chain could meet, each per
// capacity (rule S22). Relative to the mean, one empty node shows at any
// cluster size.
func load(u, low, mean float64) float64 {
	return min(max(1-(u-low)/(2*band*mean), 0), 1)
}
