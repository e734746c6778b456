// Package appetite measures for tests how much memory a piece of work asks
// for: a decoder that takes what strangers send must not turn a small message
// into a large allocation. It does not tell how much of it is held at a time.
// Other goroutines' allocations count too, so measure alone and leave room.
package appetite

import "runtime"

// Of returns how many bytes were allocated while do ran, those included that
// were freed again.
func Of(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
