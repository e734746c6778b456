package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A tree is a parsed module.
type tree struct {
	root     string
	fset     *token.FileSet
	packages []*goPackage // by directory
	texts    []string     // slash paths of all files, Go or not
}

// A goPackage is the Go files of one directory, tests included.
type goPackage struct {
	dir   string // slash path below the root
	layer *Layer // nil: not in the table
	files []*goFile
}

// A goFile is one parsed file.
type goFile struct {
	path      string // slash path below the root
	ast       *ast.File
	test      bool
	generated bool
	lines     int
	imports   map[string]string // local name to import path
}

// readTree walks root and parses every Go file of the module. Directories
// that git ignores, nested modules and testdata hold no packages of ours.
func readTree(root string, rules Rules) (*tree, error) {
	t := &tree{root: root, fset: token.NewFileSet()}
	byDir := map[string]*goPackage{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := t.relative(name)
		if d.IsDir() {
			if isIgnored(rel) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || rel == ".git" { // a file in a linked worktree
			return nil
		}
		t.texts = append(t.texts, rel)
		if !strings.HasSuffix(rel, ".go") || t.isForeign(rel) {
			return nil
		}
		return t.addFile(byDir, rules, rel)
	})
	if err != nil {
		return nil, fmt.Errorf("read source tree: %w", err)
	}
	for _, p := range byDir {
		t.packages = append(t.packages, p)
	}
	slices.SortFunc(t.packages, func(a, b *goPackage) int { return strings.Compare(a.dir, b.dir) })
	return t, nil
}

// isIgnored reports whether a directory is none of ours: git's own, or what
// .gitignore names.
func isIgnored(rel string) bool {
	switch rel {
	case ".git", "bin", ".dev", "coverage", ".idea", ".vscode":
		return true
	}
	return false
}

// isForeign reports whether a Go file belongs to no package of the module.
func (t *tree) isForeign(rel string) bool {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		base := path.Base(dir)
		if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
			return true
		}
		if _, err := os.Stat(filepath.Join(t.root, dir, "go.mod")); err == nil {
			return true
		}
	}
	return false
}

// addFile parses one file into its package.
func (t *tree) addFile(byDir map[string]*goPackage, rules Rules, rel string) error {
	name := filepath.Join(t.root, filepath.FromSlash(rel))
	source, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(t.fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(rel)
	if byDir[dir] == nil {
		byDir[dir] = &goPackage{dir: dir, layer: findLayer(rules.Layers, dir)}
	}
	byDir[dir].files = append(byDir[dir].files, &goFile{
		path:      rel,
		ast:       parsed,
		test:      strings.HasSuffix(rel, "_test.go"),
		generated: ast.IsGenerated(parsed),
		lines:     bytes.Count(source, []byte("\n")),
		imports:   localNames(parsed),
	})
	return nil
}

// relative turns a file name into a slash path below the root.
func (t *tree) relative(name string) string {
	rel, err := filepath.Rel(t.root, name)
	if err != nil {
		return filepath.ToSlash(name)
	}
	return filepath.ToSlash(rel)
}

// localNames maps the name by which a file knows an import to its path.
func localNames(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range f.Imports {
		importPath := importPath(spec)
		name := path.Base(importPath)
		if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(importPath))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = importPath
	}
	return names
}

// importPath returns the path of an import, without its quotes.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

// selected returns the import path and name that an expression such as
// time.Now refers to, or two empty strings. A local variable that shadows an
// import is mistaken for it: rename the variable.
func (f *goFile) selected(n ast.Node) (importPath, name string) {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok || f.imports[x.Name] == "" {
		return "", ""
	}
	return f.imports[x.Name], sel.Sel.Name
}
