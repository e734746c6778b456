package scorer

// soft is what a node scores that meets none of a chain's wishes (design
// section 4): a wish decides between nodes that are otherwise as good, and
// moves nothing by itself.
const soft = 0.7

// wished is the axis of preferred expressions and of colocation: 1 when every
// wish is met, 0.7 when none is, and in proportion between.
func wished(missed, wishes int) float64 {
	return 1 - (1-soft)*float64(missed)/float64(max(wishes, 1))
}
