package tidy

import (
	"cmp"
	"fmt"
	"go/token"
	"slices"
)

// The names of the rules, as they stand in a Violation and an Exception.
const (
	RuleLayer       = "layer"         // a package the table does not know
	RuleImports     = "imports"       // an import the table does not allow
	RulePure        = "pure"          // a pure package that reads clock, chance or the world
	RuleMapOrder    = "map-order"     // a pure package that depends on the order of a map
	RuleGoroutine   = "goroutine"     // a go statement where nobody owns goroutines
	RuleInit        = "init"          // a function that runs before main
	RuleGlobal      = "global"        // a package variable that can change
	RuleFunction    = "function-size" // a function that does not fit a page
	RuleFile        = "file-size"     // a file that holds more than one subject
	RuleInterface   = "interface-size"
	RulePackageName = "package-name" // a name that says nothing
	RuleDocs        = "docs"         // an exported name or package without a comment
	RuleMarker      = "marker"       // unfinished work left in the source
	RuleHost        = "host"         // a path or address of one machine or registry
	RuleSkip        = "skip"         // a test skipped without a reason
	RuleSleep       = "sleep"        // a test that waits for real time
	RuleException   = "exception"    // an exception without use or reason
)

// A Violation is one breach of one rule.
type Violation struct {
	Rule string
	File string // slash path below the root
	Line int    // from 1; 0 when the whole file or package is meant
	Name string // what broke it: a function, type, import or package
	Size int    // measured size, for the rules that have a limit
	Text string // what is wrong and why it matters
}

// String renders the violation on one line, position first.
func (v Violation) String() string {
	if v.Line == 0 {
		return fmt.Sprintf("%s: %s: %s", v.File, v.Rule, v.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", v.File, v.Line, v.Rule, v.Text)
}

// Rules is what Check holds a source tree to.
type Rules struct {
	Module     string // import path of the tree's root
	Layers     []Layer
	Exceptions []Exception
}

// Check reads the tree below root and returns every breach of the rules,
// ordered by file and line. The error is for a tree that cannot be read or
// does not parse.
func Check(root string, rules Rules) ([]Violation, error) {
	t, err := readTree(root, rules)
	if err != nil {
		return nil, err
	}
	c := &checker{rules: rules, tree: t}
	for _, p := range t.packages {
		c.checkLayer(p)
		c.checkPure(p)
		c.checkPackageName(p)
		c.checkPackageDocs(p)
		for _, f := range p.files {
			c.checkTestHabits(f)
			if f.test || f.generated {
				continue
			}
			c.checkGoroutines(p, f)
			c.checkState(f)
			c.checkSizes(p, f)
			c.checkDocs(f)
		}
	}
	if err := c.checkText(); err != nil {
		return nil, err
	}
	found := applyExceptions(c.found, rules.Exceptions)
	slices.SortStableFunc(found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	return found, nil
}

// A checker collects violations while it walks one tree.
type checker struct {
	rules Rules
	tree  *tree
	typer *typer // made by the first package that needs types
	found []Violation
}

// report notes a breach at pos.
func (c *checker) report(rule string, pos token.Pos, name, format string, args ...any) {
	c.reportSize(rule, pos, name, 0, format, args...)
}

// reportSize notes a breach of a limit at pos.
func (c *checker) reportSize(rule string, pos token.Pos, name string, size int, format string, args ...any) {
	at := c.tree.fset.Position(pos)
	c.found = append(c.found, Violation{
		Rule: rule,
		File: c.tree.relative(at.Filename),
		Line: at.Line,
		Name: name,
		Size: size,
		Text: fmt.Sprintf(format, args...),
	})
}
