package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Each pattern is written so that it does not match its own source.
var (
	markers = regexp.MustCompile(`\b(TO[D]O|FIX[M]E|X[X]X)\b`)
	places  = regexp.MustCompile(`(^|[^A-Za-z0-9_.)/-])/(work|root)/` +
		`|\b(proxy|sum|index)[.]golang[.]org\b|\bgoproxy[.](io|cn)\b|\bregistry[.]npmjs[.]org\b|\bdeb[.]debian[.]org\b|\b(ghcr|docker|quay)[.]io\b`)
)

// checkText looks for words that no file of the tree may hold. The cases in
// this package's testdata must hold them, and so are left out, as are
// checksum files and files that are not text.
func (c *checker) checkText() error {
	for _, rel := range c.tree.texts {
		if strings.HasPrefix(rel, "internal/tidy/testdata/") || strings.HasSuffix(rel, ".sum") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(c.tree.root, filepath.FromSlash(rel)))
		if err != nil {
			return fmt.Errorf("read source tree: %w", err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue
		}
		for i, line := range strings.Split(string(text), "\n") {
			c.checkLine(rel, i+1, line)
		}
	}
	return nil
}

// checkLine judges one line of text.
func (c *checker) checkLine(rel string, number int, line string) {
	if found := markers.FindString(line); found != "" {
		c.found = append(c.found, Violation{
			Rule: RuleMarker, File: rel, Line: number, Name: found,
			Text: found + " leaves work in the source where nobody plans it: do it, or open an issue",
		})
	}
	if found := strings.TrimSpace(places.FindString(line)); found != "" {
		c.found = append(c.found, Violation{
			Rule: RuleHost, File: rel, Line: number, Name: found,
			Text: fmt.Sprintf("%q names one machine or registry: the tree must build and read the same anywhere", found),
		})
	}
}

// checkTestHabits finds, in tests, a skip without a reason and a wait in real
// time.
func (c *checker) checkTestHabits(f *goFile) {
	if !f.test {
		return
	}
	bubble := false
	for _, imported := range f.imports {
		bubble = bubble || imported == "testing/synctest"
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && isBareSkip(call) {
			c.report(RuleSkip, call.Pos(), "Skip",
				"a skipped test passes: say what is missing here, so that the reader of the log can judge it")
		}
		if from, name := f.selected(n); from == "time" && name == "Sleep" && !bubble {
			c.report(RuleSleep, n.Pos(), "time.Sleep",
				"a test that sleeps is slow on a fast machine and fails on a slow one: wait for the event, or run in a synctest bubble")
		}
		return true
	})
}

// isBareSkip reports whether a call skips a test and gives no reason.
func isBareSkip(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok || !slices.Contains([]string{"t", "tb", "b", "f"}, x.Name) {
		return false
	}
	switch sel.Sel.Name {
	case "SkipNow":
		return true
	case "Skip", "Skipf":
		if len(call.Args) == 0 {
			return true
		}
		lit, ok := call.Args[0].(*ast.BasicLit)
		return ok && strings.Trim(lit.Value, "\"` ") == ""
	}
	return false
}
