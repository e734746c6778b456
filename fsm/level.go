//go:build !nextlevel

package fsm

// Level is the highest feature level that this build understands (rule S19).
// What comes with a level (operations, fields) stands beside it, so that a test
// build with the tag nextlevel can be one level ahead.
const Level = 1

// newestBody returns an empty body of an operation of the newest level, or
// nil: level 1 has all that newBody knows.
func newestBody(opKind) Body { return nil }
