package tidy

import (
	"go/ast"
	"slices"
	"strings"
)

// isWorldImport reports whether a package would let a decision see, or touch,
// more than its input.
func isWorldImport(importPath string) bool {
	for _, banned := range []string{
		"crypto/rand", "log", "net", "os", "syscall",
		"github.com/google/uuid", "github.com/hashicorp/go-hclog", "github.com/hashicorp/go-uuid",
	} {
		if importPath == banned || strings.HasPrefix(importPath, banned+"/") {
			return true
		}
	}
	return false
}

// isClock reports whether a function reads or waits for real time.
func isClock(importPath, name string) bool {
	switch importPath {
	case "time":
		return slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}, name)
	case "context":
		return strings.HasPrefix(name, "WithTimeout") || strings.HasPrefix(name, "WithDeadline")
	}
	return false
}

// isChance reports whether a function draws from the process-wide source.
// A generator made from a seed that the input carries is no chance.
func isChance(importPath, name string) bool {
	if importPath != "math/rand" && importPath != "math/rand/v2" {
		return false
	}
	isType := slices.Contains([]string{"Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf"}, name)
	return !isType && !strings.HasPrefix(name, "New")
}

// checkPure holds the pure files of p to "same input, same output": replicas
// apply the same log, a dry run and a bug report call the same code, and a
// failing seed must fail again.
func (c *checker) checkPure(p *goPackage) {
	var pure []*goFile
	for _, f := range p.files {
		if !f.test && p.layer.isPure(f) {
			pure = append(pure, f)
		}
	}
	if len(pure) == 0 {
		return
	}
	for _, f := range pure {
		for _, spec := range f.ast.Imports {
			if imported := importPath(spec); isWorldImport(imported) {
				c.report(RulePure, spec.Pos(), imported,
					"%s is pure and may not import %s: what it needs comes in its input, what it says goes out in its result", f.path, imported)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			c.checkPureNode(f, n)
			return true
		})
		c.checkMapIterators(f)
	}
	c.checkMapRanges(p, pure)
}

// checkPureNode judges one node of a pure file.
func (c *checker) checkPureNode(f *goFile, n ast.Node) {
	if g, ok := n.(*ast.GoStmt); ok {
		c.report(RulePure, g.Pos(), "go", "%s is pure and may not start a goroutine: its result would depend on the order in which they run", f.path)
		return
	}
	from, name := f.selected(n)
	switch {
	case isClock(from, name):
		c.report(RulePure, n.Pos(), from+"."+name,
			"%s is pure and may not use %s.%s: the time is part of the input, or two nodes applying one entry differ", f.path, from, name)
	case isChance(from, name):
		c.report(RulePure, n.Pos(), from+"."+name,
			"%s is pure and may not use %s.%s: draw from a generator seeded by the input, or a run cannot be repeated", f.path, from, name)
	}
}
