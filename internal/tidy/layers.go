package tidy

import (
	"path"
	"slices"
	"strings"
)

// A Layer says what one package may do. A package without a row of its own
// stands under its nearest ancestor's row, as one family with it.
type Layer struct {
	Path       string   // slash path below the root
	Imports    []string // our packages it may import, each with its family
	External   []string // modules it may import; "*" is any
	Pure       bool     // no clock, chance, world, goroutine or map order
	PureFiles  []string // the same, for single files
	Goroutines bool     // starts goroutines and waits for their end
	TestsOnly  bool     // imported by tests and its own family, nobody else
}

// House returns the rules of this repository. Imports point down: a package
// imports what stands above it in this table, never below.
func House() Rules {
	const (
		hclog      = "github.com/hashicorp/go-hclog"
		huma       = "github.com/danielgtaylor/huma/v2"
		prometheus = "github.com/prometheus/client_golang"
		cbor       = "github.com/fxamacker/cbor/v2"
		btree      = "github.com/tidwall/btree"
	)
	anything := []string{"*"}
	core := []string{"placement", "scheduler", "scheduler/scorer", "fsm", "holder"}
	shell := slices.Concat(core, []string{"transport", "holder/filestore", "cluster", "api", "api/client", "api/server"})
	return Rules{
		Module: "github.com/holdfast-cluster/holdfast",
		Layers: []Layer{
			{Path: "placement", Pure: true},
			{Path: "scheduler", Imports: []string{"placement"}, External: []string{btree}, Pure: true},
			{Path: "scheduler/scorer", Imports: []string{"placement", "scheduler"}, Pure: true},
			{Path: "fsm", Imports: []string{"placement"}, External: []string{cbor, btree}, Pure: true},
			{
				Path:     "internal/simulator",
				Imports:  []string{"placement", "scheduler", "scheduler/scorer", "fsm"},
				External: []string{"sigs.k8s.io/yaml"},
				Pure:     true,
			},
			{Path: "holder", Imports: []string{"placement"}, External: anything, PureFiles: []string{"diff.go"}, Goroutines: true},
			{Path: "holder/filestore", Imports: []string{"placement", "holder"}, External: anything, Goroutines: true},
			{Path: "transport", External: anything, Goroutines: true},
			{Path: "internal/secure"},
			{Path: "cluster/voters", Imports: []string{"placement"}, Pure: true},
			{Path: "cluster/pace", Imports: []string{"placement"}, Pure: true},
			{Path: "cluster", Imports: slices.Concat(core, []string{"transport", "cluster/voters", "cluster/pace"}), External: anything, Goroutines: true},
			{Path: "api"},
			{Path: "api/client", Imports: []string{"api"}, Goroutines: true},
			{Path: "api/ui"},
			{
				Path:       "api/server",
				Imports:    []string{"api", "api/ui", "placement", "scheduler", "fsm"},
				External:   []string{huma, prometheus, hclog},
				Goroutines: true,
			},
			{Path: "agent", Imports: slices.Concat(shell, []string{"internal/secure"}), External: anything, Goroutines: true},
			{Path: "internal/bench", Imports: slices.Concat(shell, []string{"agent"}), External: anything, Goroutines: true},
			{Path: "cmd/holdfast", Imports: slices.Concat(shell, []string{"agent", "internal/bench", "internal/secure", "internal/simulator"}), External: anything, Goroutines: true},
			{Path: "testcluster/simnet", Imports: []string{"transport"}, External: anything, Goroutines: true, TestsOnly: true},
			{
				Path:       "testcluster",
				Imports:    slices.Concat(shell, []string{"agent", "cluster/voters", "testcluster/simnet"}),
				External:   anything,
				Goroutines: true,
				TestsOnly:  true,
			},
			{Path: "e2e", Imports: []string{"api", "api/client"}, External: anything, Goroutines: true},
			{Path: "internal/appetite", TestsOnly: true},
			{Path: "internal/lincheck", External: []string{"github.com/anishathalye/porcupine"}, TestsOnly: true},
			{Path: "internal/powercut", Goroutines: true, TestsOnly: true},
			{Path: "internal/tidy"},
		},
		Exceptions: HouseExceptions(),
	}
}

// findLayer returns the row of dir or of its nearest ancestor, or nil.
func findLayer(layers []Layer, dir string) *Layer {
	for ; dir != "."; dir = path.Dir(dir) {
		for i := range layers {
			if layers[i].Path == dir {
				return &layers[i]
			}
		}
	}
	return nil
}

// isPure reports whether f must be pure.
func (l *Layer) isPure(f *goFile) bool {
	return l != nil && (l.Pure || slices.Contains(l.PureFiles, path.Base(f.path)))
}

// checkLayer holds the imports of p's own files against the table. Tests may
// import what they need.
func (c *checker) checkLayer(p *goPackage) {
	if p.layer == nil {
		c.report(RuleLayer, p.files[0].ast.Package, p.dir,
			"the layer table does not know %s: add a row to internal/tidy/layers.go that says what it may import, so that imports keep pointing down", p.dir)
		return
	}
	for _, f := range p.files {
		if f.test {
			continue
		}
		for _, spec := range f.ast.Imports {
			imported := importPath(spec)
			if why := c.refuseImport(p, imported); why != "" {
				c.report(RuleImports, spec.Pos(), imported, "%s", why)
			}
		}
	}
}

// refuseImport says why p may not import the package, or nothing.
func (c *checker) refuseImport(p *goPackage, imported string) string {
	own, ours := strings.CutPrefix(imported, c.rules.Module+"/")
	switch {
	case imported == c.rules.Module || ours:
		return c.refuseOwn(p, own)
	case isStandard(imported):
		return "" // checkPure judges it
	case !allowsModule(p.layer.External, imported):
		return p.dir + " may not import " + imported + ": its row allows " + listOr(p.layer.External, "the standard library only") +
			", so that it stays small, testable and free of others' changes"
	}
	return ""
}

// refuseOwn says why p may not import our package own, or nothing.
func (c *checker) refuseOwn(p *goPackage, own string) string {
	target := findLayer(c.rules.Layers, own)
	switch {
	case target == p.layer:
		return ""
	case target == nil:
		return p.dir + " imports " + own + ", which the layer table does not know"
	case target.TestsOnly && !p.layer.TestsOnly:
		return p.dir + " imports " + own + ": only tests may, so that no fault injection reaches the binary"
	case !slices.Contains(p.layer.Imports, target.Path):
		return p.dir + " may not import " + own + ": its row allows " + listOr(p.layer.Imports, "none of ours") +
			"; imports point down, so declare a small interface here and let the caller above pass it in"
	}
	return ""
}

// isStandard reports whether an import is of the standard library: a module
// path begins with a host.
func isStandard(imported string) bool {
	host, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(host, ".")
}

// allowsModule reports whether an import belongs to one of the modules.
func allowsModule(modules []string, imported string) bool {
	for _, m := range modules {
		if m == "*" || imported == m || strings.HasPrefix(imported, m+"/") {
			return true
		}
	}
	return false
}

// listOr joins names, or returns the given words for an empty list.
func listOr(names []string, empty string) string {
	if len(names) == 0 {
		return empty
	}
	return strings.Join(names, ", ")
}
