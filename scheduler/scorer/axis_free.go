package scorer

// free is 1 while at most 80 % of a node's bytes are used or reserved, and
// falls linearly to 0 at 95 % (rule S23).
func free(share float64) float64 { return fall(share, 0.80, 0.95) }

// fall is 1 up to from, 0 from end on, and linear in between.
func fall(x, from, end float64) float64 {
	return min(max((end-x)/(end-from), 0), 1)
}
