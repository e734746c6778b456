package scorer

// allowed returns how many copies of a chain one zone may hold: what the chain
// says, else its even share, ⌈desired/zones⌉.
func allowed(desired, zones, perZone int) int {
	if perZone > 0 {
		return perZone
	}
	return (desired + zones - 1) / zones
}

// spread is 1 while a zone holds at most the allowed copies of a chain, and
// half of allowed/copies when it holds more: below the default floor, and
// worse with each copy more, so that the fullest zone is relieved first.
func spread(copies, allowed int) float64 {
	if copies <= allowed {
		return 1
	}
	return float64(allowed) / float64(copies) / 2
}
