// Package tidy holds the rules of the house as a test: who may import whom,
// what pure packages must not call, how long things may get, and what must be
// documented. `make tidy` runs it.
//
// It reads Go source with the standard library's parser and names every
// breach with its reason. It does not judge style that a formatter or linter
// already judges, and it changes nothing.
//
// Only one rule needs types: a loop over a map looks like any other loop.
// The packages under that rule are checked with go/types, their imports read
// from source. They import little, so that takes about a second.
//
// Nothing here is concurrent. The cases in testdata show each rule catching
// what it forbids; TestHouse applies the rules to this repository.
package tidy
