package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

// parsed is a Go file of ours.
func parsed(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	return f
}

// sources are our Go files, without tests.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	out := map[string]*ast.File{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			out[filepath.ToSlash(strings.TrimPrefix(path, "../../"))] = parsed(t, path)
		}
		return err
	})
	require.NoError(t, err)
	return out
}

// templates are the strings that the judges of a file say: the last literal of
// each call of a finding's constructor, and the words of Contact and the like.
func templates(t *testing.T, file string) []string {
	t.Helper()
	var out []string
	ast.Inspect(parsed(t, file), func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Pass", "Warn", "Fail", "Skip", "Unknown", "Fix", "Wanted"}, selector.Sel.Name) {
			return true
		}
		for _, arg := range call.Args {
			if s, ok := arg.(*ast.BasicLit); ok && s.Kind == token.STRING {
				text, err := strconv.Unquote(s.Value)
				require.NoError(t, err)
				out = append(out, selector.Sel.Name+": "+strings.ReplaceAll(text, "\n", "\n      "))
			}
		}
		return true
	})
	return out
}

// Imports run one way: a subject imports the contract, the platform and its own
// library, and never another subject; nothing below knows what is above.
func TestImports(t *testing.T) {
	const own = "carbonio-check/"
	shared := []string{"cluster", "packages", "checkstest"}
	for file, f := range sources(t) {
		dir := filepath.ToSlash(filepath.Dir(file))
		for _, i := range f.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			require.NoError(t, err)
			to, ours := strings.CutPrefix(path, own)
			if !ours || to == dir {
				continue
			}
			allowed := mayImport(dir)
			ok := slices.ContainsFunc(allowed, func(a string) bool { return to == a || strings.HasPrefix(to, a+"/") })
			if subject, isSubject := strings.CutPrefix(to, "checks/"); isSubject && strings.HasPrefix(dir, "checks") {
				ok = slices.Contains(shared, subject)
			}
			assert.True(t, ok, "%s imports %s", file, to)
		}
	}
}

// mayImport are the packages that those of a folder may know.
func mayImport(dir string) []string {
	top, _, _ := strings.Cut(dir, "/")
	switch top {
	case "platform", "terminal":
		return nil
	case "checks":
		allowed := []string{"platform", "checks"}
		if strings.HasPrefix(dir, "checks/s3") {
			allowed = append(allowed, "s3bench") // its own client library
		}
		return allowed
	case "s3bench":
		return []string{"s3bench", "terminal", "platform"}
	case "machine":
		return []string{"platform", "checks", "machine"}
	case "runner":
		return []string{"platform", "checks"}
	case "report":
		return []string{"platform", "checks", "runner", "terminal"}
	case "fixtures":
		return []string{"platform", "checks", "fixtures", "machine", "s3bench", "runner"}
	}
	return []string{"platform", "checks", "machine", "runner", "report", "s3bench", "terminal", "fixtures"}
}

// The kinds of looks are words of the format of observations files: changing one
// makes files unreadable, and is never by chance.
func TestLooks(t *testing.T) {
	var b strings.Builder
	for _, m := range catalogue(t).Modules() {
		for _, l := range m.Looks() {
			fmt.Fprintf(&b, "%s.%s\n", m.Name, l.Name())
		}
	}
	checkstest.Golden(t, "testdata/looks.txt", b.String())
}

// Each library stands behind one file.
func TestLibraries(t *testing.T) {
	one := map[string]string{
		"github.com/miekg/dns": "", "github.com/beevik/ntp": "", "github.com/prometheus-community/pro-bing": "",
		"github.com/shirou/gopsutil": "", "github.com/charmbracelet/lipgloss": "", "github.com/jackc/pgx": "",
		"github.com/go-ldap/ldap": "", "go.yaml.in/yaml": "",
	}
	for file, f := range sources(t) {
		if strings.HasPrefix(file, "fixtures/") {
			continue
		}
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			for library, at := range one {
				if strings.HasPrefix(path, library) && at != file {
					assert.Empty(t, at, "%s imports %s, and so does %s", file, library, at)
					one[library] = file
				}
			}
		}
	}
	for library, at := range one {
		assert.NotEmpty(t, at, "nobody imports %s", library)
	}
}

// Every source of the table is used, and each has its address.
func TestSources(t *testing.T) {
	used := map[string]bool{}
	declared := map[string]bool{}
	for file, f := range sources(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				used[n.Sel.Name] = true
			case *ast.Ident:
				if strings.HasPrefix(file, "platform/") && file != "platform/sources.go" {
					used[n.Name] = true
				}
			case *ast.ValueSpec:
				if file == "platform/sources.go" && len(n.Values) == 1 {
					if c, ok := n.Values[0].(*ast.CompositeLit); ok {
						declared[n.Names[0].Name] = true
						assert.Len(t, c.Elts, 2, "%s: want a title and an address", n.Names[0].Name)
					}
				}
			}
			return true
		})
	}
	require.NotEmpty(t, declared)
	for name := range declared {
		assert.True(t, used[name], "nothing is of the source %s", name)
	}
	for _, c := range catalogue(t).Checks() {
		for _, s := range c.Sources {
			assert.True(t, strings.HasPrefix(s.Address, "https://") || s.Address == "docs/configuration.md", "%s: %s", c.ID, s.Address)
		}
	}
	_, err := os.Stat("../../docs/configuration.md")
	require.NoError(t, err)
}

// Every recorded case of every subject: what a judge says is of its own checks,
// and what it needs is a check that there is, on a target that it could have.
func TestRecordedCases(t *testing.T) {
	suite := catalogue(t)
	known := map[string]map[string]bool{} // targets that a check has somewhere, by ID
	type needed struct {
		need checks.Need
		by   string
		here map[string]bool // the nodes of the case, and what was found in it
	}
	var needs []needed
	cases := 0
	for _, m := range suite.Modules() {
		files, err := filepath.Glob("../../checks/" + m.Name + "/testdata/*.txtar")
		require.NoError(t, err)
		if len(files) == 0 { // resilience looks at nothing; inventory's cases are inventories
			continue
		}
		for _, c := range checkstest.Cases(t, m, "../../checks/"+m.Name+"/testdata") {
			cases++
			findings, clusters := m.Judge(c.Scope, checks.NewRecord(c.Seen))
			checkstest.Honest(t, m, findings, clusters)
			here := map[string]bool{}
			for _, n := range c.Scope.Topology.Nodes {
				here[strings.ToLower(n.Name)] = true
			}
			for _, v := range c.Scope.Vantages {
				here[strings.ToLower(v.Node)] = true
			}
			for _, o := range c.Seen {
				here[strings.ToLower(o.Target.Node)], here[strings.ToLower(o.Target.Name)] = true, true
			}
			for _, f := range findings {
				if known[f.Check.ID] == nil {
					known[f.Check.ID] = map[string]bool{}
				}
				known[f.Check.ID][f.Target] = true
				for _, n := range f.Needs {
					needs = append(needs, needed{n, m.Name + " " + c.Name, here})
				}
			}
		}
	}
	require.Greater(t, cases, 200)
	require.NotEmpty(t, needs)
	for _, n := range needs {
		if !assert.NotNil(t, suite.Check(n.need.Check()), "%s needs %s, which does not exist", n.by, n.need) {
			continue
		}
		target := strings.ToLower(n.need.Target())
		node, _, _ := strings.Cut(target, ":")
		assert.True(t, n.here[target] || n.here[node] || known[n.need.Check()][n.need.Target()],
			"%s needs %s, on a target that it never has", n.by, n.need)
	}
}

// A folder below checks with a Module is a subject of the program: one that
// modules.go does not name would be tested, and never run.
func TestEverySubjectIsAssembled(t *testing.T) {
	known := map[string]bool{}
	for _, m := range catalogue(t).Modules() {
		known[m.Name] = true
	}
	found := 0
	for file, f := range sources(t) {
		subject, below := strings.CutPrefix(filepath.ToSlash(filepath.Dir(file)), "checks/")
		if below && declares(f, "Module") {
			found++
			assert.True(t, known[subject], "%s declares a Module that modules.go does not name", file)
		}
	}
	assert.Equal(t, len(known), found)
}

// declares says whether a file has a variable of that name.
func declares(f *ast.File, name string) bool {
	return slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
		g, ok := d.(*ast.GenDecl)
		return ok && g.Tok == token.VAR && slices.ContainsFunc(g.Specs, func(s ast.Spec) bool {
			v, ok := s.(*ast.ValueSpec)
			return ok && v.Names[0].Name == name
		})
	})
}
