package tidy

import "fmt"

// An Exception raises one limit, or lifts one rule, at one place. It needs a
// reason, and it must be in use: one that no longer suppresses anything is a
// violation itself.
type Exception struct {
	Rule   string
	File   string // slash path below the root
	Name   string // the violation's name
	Limit  int    // largest size allowed; 0 for rules without a size
	Reason string
}

// HouseExceptions lists what this repository allows itself, and why.
func HouseExceptions() []Exception {
	return []Exception{{
		Rule: RuleGlobal, File: "fsm/codec.go", Name: "modes",
		Reason: "the library's encoding and decoding modes are built once and cannot change after that; a field would have to be handed to every function that writes or reads a record",
	}}
}

// names reports whether the exception is about the place and rule of v.
func (e Exception) names(v Violation) bool {
	return e.Rule == v.Rule && e.File == v.File && e.Name == v.Name
}

// applyExceptions drops the violations that an exception covers and adds one
// for each exception that is not in use or gives no reason.
func applyExceptions(found []Violation, exceptions []Exception) []Violation {
	var kept []Violation
	used := make([]bool, len(exceptions))
	for _, v := range found {
		covered := false
		for i, e := range exceptions {
			if e.names(v) {
				used[i] = true
				covered = covered || v.Size <= e.Limit
			}
		}
		if !covered {
			kept = append(kept, v)
		}
	}
	for i, e := range exceptions {
		broken := Violation{Rule: RuleException, File: e.File, Name: e.Name}
		if e.Reason == "" {
			broken.Text = fmt.Sprintf("the exception from %s for %s gives no reason: say why this place is different", e.Rule, e.Name)
			kept = append(kept, broken)
		}
		if !used[i] {
			broken.Text = fmt.Sprintf("the exception from %s for %s suppresses nothing: remove it, or it will hide the next breach", e.Rule, e.Name)
			kept = append(kept, broken)
		}
	}
	return kept
}
