package scorer

// apart is the axis of anti-affinity: 1 on a node without copies that the
// chain should keep away from, else 1/(2·(1+others)), which is below the
// default floor with the first of them and falls with each more.
func apart(others int) float64 {
	if others <= 0 {
		return 1
	}
	return 1 / (2 * float64(1+others))
}
