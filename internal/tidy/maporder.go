package tidy

import (
	"go/ast"
	"go/build"
	"go/importer"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
)

// sortedKeys is the one function of a pure package that may loop over a map:
// it returns the keys in order, and every other loop runs over them.
const sortedKeys = "sortedKeys"

// checkMapIterators finds maps.Keys, Values and All that are not sorted at
// once by a slices.Sorted function.
func (c *checker) checkMapIterators(f *goFile) {
	sorted := map[ast.Node]bool{}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		from, name := f.selected(call.Fun)
		if from == "slices" && strings.HasPrefix(name, "Sorted") && len(call.Args) > 0 {
			sorted[call.Args[0]] = true
		}
		if from == "maps" && (name == "Keys" || name == "Values" || name == "All") && !sorted[call] {
			c.report(RuleMapOrder, call.Pos(), "maps."+name,
				"maps.%s yields another order in every process, and nodes applying one log would differ: wrap it in slices.Sorted", name)
		}
		return true
	})
}

// checkMapRanges finds loops over maps in the pure files of p.
func (c *checker) checkMapRanges(p *goPackage, pure []*goFile) {
	if c.typer == nil {
		c.typer = newTyper(c.tree, c.rules.Module)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	c.typer.load(p, info)
	for _, f := range pure {
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if ok && fn.Name.Name == sortedKeys {
				continue
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				if loop, ok := n.(*ast.RangeStmt); ok {
					c.judgeRange(f, loop, info.TypeOf(loop.X))
				}
				return true
			})
		}
	}
}

// judgeRange reports a loop over a map, or over something whose type is not
// known: silence would be a guess.
func (c *checker) judgeRange(f *goFile, loop *ast.RangeStmt, t types.Type) {
	if call, ok := loop.X.(*ast.CallExpr); ok {
		if from, _ := f.selected(call.Fun); from == "maps" {
			return // checkMapIterators has said so
		}
	}
	switch {
	case t == nil || t == types.Typ[types.Invalid]:
		c.report(RuleMapOrder, loop.Pos(), "range",
			"what this loops over has no known type, so it may be a map: make the package compile")
	case isMap(t):
		c.report(RuleMapOrder, loop.Pos(), "range",
			"a map has another order in every process, and nodes applying one log would differ: loop over %s(m)", sortedKeys)
	}
}

// isMap reports whether t is a map, or a type parameter that can be one.
func isMap(t types.Type) bool {
	constraint, ok := types.Unalias(t).(*types.TypeParam)
	if !ok {
		_, ok := t.Underlying().(*types.Map)
		return ok
	}
	iface, ok := constraint.Constraint().Underlying().(*types.Interface)
	for i := 0; ok && i < iface.NumEmbeddeds(); i++ {
		switch e := iface.EmbeddedType(i).(type) {
		case *types.Union:
			for j := range e.Len() {
				if isMap(e.Term(j).Type()) {
					return true
				}
			}
		default:
			if isMap(e) {
				return true
			}
		}
	}
	return false
}

// A typer finds out types, as far as the pure files need them. Packages of
// ours come from the tree, others from source. Only what a pure file imports
// is read; for the rest an empty package stands in, and the errors that
// follow from that are none of the pure files'.
type typer struct {
	tree   *tree
	module string
	needed map[string]bool
	source types.ImporterFrom
	done   map[string]*types.Package
}

// newTyper notes what the pure files of the tree may and do import.
func newTyper(tr *tree, module string) *typer {
	t := &typer{tree: tr, module: module, needed: map[string]bool{}, done: map[string]*types.Package{}}
	t.source, _ = importer.ForCompiler(token.NewFileSet(), "source", nil).(types.ImporterFrom)
	for _, p := range tr.packages {
		for _, f := range p.files {
			if f.test || !p.layer.isPure(f) {
				continue
			}
			for _, spec := range f.ast.Imports {
				imported := importPath(spec)
				t.needed[imported] = !isWorldImport(imported) && (isStandard(imported) || allowsModule(p.layer.External, imported))
			}
		}
	}
	return t
}

// load checks one package of the tree.
func (t *typer) load(p *goPackage, info *types.Info) *types.Package {
	var files []*ast.File
	for _, f := range p.files {
		dir, name := filepath.Split(filepath.Join(t.tree.root, filepath.FromSlash(f.path)))
		if built, err := build.Default.MatchFile(dir, name); !f.test && err == nil && built {
			files = append(files, f.ast)
		}
	}
	config := types.Config{Importer: t, Error: func(error) {}}
	// Errors are expected where an empty package stands in; judgeRange
	// reports what stays unknown because of them.
	pkg, _ := config.Check(t.module+"/"+p.dir, t.tree.fset, files, info)
	return pkg
}

// Import implements types.Importer.
func (t *typer) Import(path string) (*types.Package, error) {
	return t.ImportFrom(path, t.tree.root, 0)
}

// ImportFrom implements types.ImporterFrom.
func (t *typer) ImportFrom(path, dir string, mode types.ImportMode) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if t.done[path] != nil {
		return t.done[path], nil
	}
	t.done[path] = t.find(path, dir, mode)
	return t.done[path], nil
}

// find reads a package, or returns an empty one in its place.
func (t *typer) find(path, dir string, mode types.ImportMode) *types.Package {
	if own, ours := strings.CutPrefix(path, t.module+"/"); ours {
		for _, p := range t.tree.packages {
			if p.dir == own {
				return t.load(p, nil)
			}
		}
	} else if t.needed[path] && t.source != nil {
		if pkg, err := t.source.ImportFrom(path, dir, mode); err == nil {
			return pkg
		}
	}
	empty := types.NewPackage(path, filepath.Base(path))
	empty.MarkComplete()
	return empty
}
