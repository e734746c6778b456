package tidy

import (
	"go/ast"
	"slices"
)

// The budgets of the house. An Exception raises one at one place.
const (
	FunctionLinesMax    = 70
	FileLinesMax        = 400
	InterfaceMethodsMax = 5
)

// checkSizes holds a file, its functions and its interfaces to their budget.
func (c *checker) checkSizes(p *goPackage, f *goFile) {
	if f.lines > FileLinesMax {
		c.reportSize(RuleFile, f.ast.Package, "file", f.lines,
			"%d lines, at most %d: a reader looks for one subject in one file; split it by subject", f.lines, FileLinesMax)
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			lines := c.tree.fset.Position(n.End()).Line - c.tree.fset.Position(n.Pos()).Line + 1
			if lines > FunctionLinesMax {
				name := functionName(n)
				c.reportSize(RuleFunction, n.Pos(), name, lines,
					"%s has %d lines, at most %d: name its steps and make them functions", name, lines, FunctionLinesMax)
			}
		case *ast.TypeSpec:
			iface, ok := n.Type.(*ast.InterfaceType)
			if !ok {
				return true
			}
			if methods := p.countMethods(iface, nil); methods > InterfaceMethodsMax {
				c.reportSize(RuleInterface, n.Pos(), n.Name.Name, methods,
					"%s has %d methods, at most %d: declare, where it is used, the few that are called there", n.Name.Name, methods, InterfaceMethodsMax)
			}
		}
		return true
	})
}

// countMethods counts the methods of an interface. Embedded interfaces of the
// same package count with theirs, of another package as one.
func (p *goPackage) countMethods(iface *ast.InterfaceType, seen []*ast.InterfaceType) int {
	if slices.Contains(seen, iface) {
		return 0
	}
	seen = append(seen, iface)
	count := 0
	for _, field := range iface.Methods.List {
		if len(field.Names) > 0 {
			count += len(field.Names)
			continue
		}
		count++
		if name, ok := field.Type.(*ast.Ident); ok {
			if embedded := p.findInterface(name.Name); embedded != nil {
				count += p.countMethods(embedded, seen) - 1
			}
		}
	}
	return count
}

// findInterface returns the interface type that p declares by that name.
func (p *goPackage) findInterface(name string) *ast.InterfaceType {
	for _, f := range p.files {
		for _, decl := range f.ast.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range d.Specs {
				if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.Name == name {
					iface, _ := ts.Type.(*ast.InterfaceType)
					return iface
				}
			}
		}
	}
	return nil
}

// functionName returns the name of a function, or Type.Name for a method.
func functionName(fn *ast.FuncDecl) string {
	if receiver := receiverType(fn); receiver != "" {
		return receiver + "." + fn.Name.Name
	}
	return fn.Name.Name
}

// receiverType returns the name of a method's type, or nothing for a function.
func receiverType(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	name := ""
	ast.Inspect(fn.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return name
}
