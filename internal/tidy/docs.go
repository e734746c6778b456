package tidy

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// checkPackageName refuses names that say nothing about what is inside.
func (c *checker) checkPackageName(p *goPackage) {
	name := p.files[0].ast.Name
	for _, word := range []string{strings.TrimSuffix(name.Name, "_test"), path.Base(p.dir)} {
		if slices.Contains([]string{"util", "utils", "common", "types", "models", "helpers", "misc"}, word) {
			c.report(RulePackageName, name.Pos(), word,
				"a package named %s collects whatever fits nowhere: name it after what it provides", word)
			return
		}
	}
}

// checkPackageDocs asks for a package comment in one of the files.
func (c *checker) checkPackageDocs(p *goPackage) {
	var first *goFile
	for _, f := range p.files {
		if f.test {
			continue
		}
		if isDocumented(f.ast.Doc) {
			return
		}
		if first == nil {
			first = f
		}
	}
	if first != nil {
		c.report(RuleDocs, first.ast.Package, "package "+first.ast.Name.Name,
			"package %s has no comment: say in doc.go what it is for, what it does not do, what may run at once, and how it is tested", first.ast.Name.Name)
	}
}

// checkDocs asks for a comment on every exported name of a file.
func (c *checker) checkDocs(f *goFile) {
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			receiver := receiverType(d)
			if d.Name.IsExported() && (receiver == "" || ast.IsExported(receiver)) && !isDocumented(d.Doc) {
				c.reportDocs(d.Pos(), functionName(d))
			}
		case *ast.GenDecl:
			if d.Tok != token.IMPORT && !isDocumented(d.Doc) {
				c.checkSpecDocs(d)
			}
		}
	}
}

// checkSpecDocs asks for a comment on each exported name of a declaration
// that has none for them all.
func (c *checker) checkSpecDocs(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && !isDocumented(s.Doc) && !isDocumented(s.Comment) {
				c.reportDocs(s.Pos(), s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && !isDocumented(s.Doc) && !isDocumented(s.Comment) {
					c.reportDocs(name.Pos(), name.Name)
				}
			}
		}
	}
}

// reportDocs notes an exported name without a comment.
func (c *checker) reportDocs(pos token.Pos, name string) {
	c.report(RuleDocs, pos, name,
		"%s is exported and has no comment: who calls it needs its contract, units and errors; if nobody does, do not export it", name)
}

// isDocumented reports whether a comment says anything besides directives.
func isDocumented(doc *ast.CommentGroup) bool {
	return doc != nil && strings.TrimSpace(doc.Text()) != ""
}
