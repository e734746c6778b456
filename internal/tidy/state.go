package tidy

import (
	"go/ast"
	"go/token"
	"strings"
)

// checkGoroutines finds go statements outside the packages that own
// goroutines.
func (c *checker) checkGoroutines(p *goPackage, f *goFile) {
	if p.layer == nil || p.layer.Goroutines || p.layer.isPure(f) {
		return
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			c.report(RuleGoroutine, g.Pos(), "go",
				"%s does not own goroutines: let the caller start it, or mark the package in the layer table once its Run waits for what it starts", p.dir)
		}
		return true
	})
}

// checkState finds init functions and package variables that can change.
func (c *checker) checkState(f *goFile) {
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				c.report(RuleInit, d.Pos(), "init",
					"init runs before main, in an order nobody reads, also in tests that do not want it: call a function")
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR {
				c.checkVars(f, d)
			}
		}
	}
}

// checkVars finds the variables of one declaration that are neither error
// values, embedded files, compiled patterns, interface assertions, nor the
// version that the linker sets.
func (c *checker) checkVars(f *goFile, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		vs, ok := spec.(*ast.ValueSpec)
		if !ok || isEmbed(d.Doc) || isEmbed(vs.Doc) {
			continue
		}
		for i, name := range vs.Names {
			var value ast.Expr
			if i < len(vs.Values) {
				value = vs.Values[i]
			}
			if f.isConstant(name.Name, value) {
				continue
			}
			c.report(RuleGlobal, name.Pos(), name.Name,
				"package variable %s is shared by every node in a test process: make it a constant, a function that returns it, or a field", name.Name)
		}
	}
}

// isConstant reports whether a package variable is as good as a constant.
func (f *goFile) isConstant(name string, value ast.Expr) bool {
	if name == "_" || (f.ast.Name.Name == "main" && name == "version") {
		return true
	}
	call, ok := value.(*ast.CallExpr)
	if ok {
		switch from, fn := f.selected(call.Fun); from + "." + fn {
		case "errors.New", "fmt.Errorf", "regexp.MustCompile":
			return true
		}
	}
	return value != nil && (strings.HasPrefix(name, "Err") || strings.HasPrefix(name, "err"))
}

// isEmbed reports whether a comment group embeds a file.
func isEmbed(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, line := range doc.List {
		if strings.HasPrefix(line.Text, "//go:embed ") {
			return true
		}
	}
	return false
}
