package tidy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestHouse: this repository keeps its own rules; any breach fails with the
// place and the reason.
func TestHouse(t *testing.T) {
	found, err := Check("../..", House())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

// TestRules: each rule catches what it forbids and leaves alone what it
// allows; every case of testdata is a small tree written to disk and checked.
func TestRules(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "check" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			rules := House()
			rules.Exceptions = readExceptions(t, d)
			return render(checkText(t, d.Input, rules))
		})
	})
}

// TestEveryRuleFails: a rule that no case shows failing may be dead; each
// rule's name must stand in an expected answer below testdata.
func TestEveryRuleFails(t *testing.T) {
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		t.Skip("the answers are being rewritten")
	}
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, rule := range []string{
		RuleLayer, RuleImports, RulePure, RuleMapOrder, RuleGoroutine, RuleInit, RuleGlobal, RuleFunction, RuleFile,
		RuleInterface, RulePackageName, RuleDocs, RuleMarker, RuleHost, RuleSkip, RuleSleep, RuleException,
	} {
		if !strings.Contains(all.String(), ": "+rule+": ") {
			t.Errorf("no case in testdata shows rule %s failing", rule)
		}
	}
}

// TestUnreadable: a tree that does not parse, or does not exist, is an error
// and not a clean bill.
func TestUnreadable(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "broken.go"), []byte("package"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{root, filepath.Join(root, "none")} {
		if found, err := Check(dir, House()); err == nil {
			t.Errorf("Check(%s) = %v, want an error", dir, found)
		}
	}
}

// checkText writes the files of a case ("-- path --" starts one) to a new
// directory and checks them. A line "// repeat N" stands for N lines.
func checkText(t *testing.T, input string, rules Rules) []Violation {
	t.Helper()
	root := t.TempDir()
	for part := range strings.SplitSeq("\n"+input, "\n-- ") {
		name, text, ok := strings.Cut(part, " --\n")
		if !ok {
			continue
		}
		var out strings.Builder
		for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
			times := 1
			if count, ok := strings.CutPrefix(strings.TrimSpace(line), "// repeat "); ok {
				n, err := strconv.Atoi(count)
				if err != nil {
					t.Fatal(err)
				}
				times, line = n, "\t//"
			}
			out.WriteString(strings.Repeat(line+"\n", times))
		}
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Check(root, rules)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// readExceptions reads except=(rule,file,name,limit,reason) of a case.
func readExceptions(t *testing.T, d *datadriven.TestData) []Exception {
	t.Helper()
	var list []Exception
	for _, arg := range d.CmdArgs {
		if arg.Key != "except" {
			continue
		}
		limit, err := strconv.Atoi(arg.Vals[3])
		if err != nil {
			d.Fatalf(t, "limit: %v", err)
		}
		e := Exception{Rule: arg.Vals[0], File: arg.Vals[1], Name: arg.Vals[2], Limit: limit}
		if len(arg.Vals) > 4 {
			e.Reason = arg.Vals[4]
		}
		list = append(list, e)
	}
	return list
}

// render writes one violation a line, or says that there is none.
func render(found []Violation) string {
	if len(found) == 0 {
		return "clean"
	}
	var out strings.Builder
	for _, v := range found {
		fmt.Fprintln(&out, v)
	}
	return out.String()
}
