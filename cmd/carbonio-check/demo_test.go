package main

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/fixtures/demo"
	"carbonio-check/runner"
)

// A healthy platform passes every check; what does not apply to it is named here.
func TestHealthyPlatform(t *testing.T) {
	assert.ElementsMatch(t, []string{
		"dns.public",        // the manual's inventory sets no webmailHostname
		"inventory.secrets", // they stand where the playbooks run
		"network.path",      // everybody responds
		"s3.bucket",         // none is configured
		"s3.clock",
		"s3.consistency",
		"s3.credentials",
		"s3.endpoint",
		"s3.integrity",
		"s3.permissions",
		"s3.region",
		"s3.shared",
		"s3.stability",
		"s3.throughput",
		"s3.ttfb",
		"system.rhel-repositories",
		"system.selinux",
	}, skipped(t, judgeDemo(t, demo.Options{})))
}

// So does one on which Carbonio runs.
func TestHealthyInstalledPlatform(t *testing.T) {
	assert.ElementsMatch(t, []string{
		"directory.canary", // it would write
		"dns.public",
		"inventory.secrets",
		"kafka.quorum", // ZooKeeper's, before 25.9
		"network.path",
		"postgres.databases", // they are for who logs in
		"s3.bucket",          // nor is one configured; Carbonio's own is seen by its own commands
		"s3.clock",
		"s3.consistency",
		"s3.credentials",
		"s3.endpoint",
		"s3.integrity",
		"s3.permissions",
		"s3.region",
		"s3.shared",
		"s3.stability",
		"s3.throughput",
		"s3.ttfb",
		"system.minimized", // of a node that waits for Carbonio, as are the next two
		"system.ports",
		"system.user",
		"system.rhel-repositories",
		"system.selinux",
	}, skipped(t, judgeDemo(t, demo.Options{Installed: true})))
}

// skipped are the checks that pass nowhere. None may do worse.
func skipped(t *testing.T, findings []checks.Finding) []string {
	t.Helper()
	passed := map[string]bool{}
	for _, f := range findings {
		if f.Message == "only once Carbonio is installed" {
			continue
		}
		passed[f.Check.ID] = passed[f.Check.ID] || f.Status == checks.Pass
		if f.Status != checks.Pass && f.Status != checks.Skip {
			t.Error(checkstest.Render([]checks.Finding{f}))
		}
	}
	var out []string
	for check, once := range passed {
		if !once {
			out = append(out, check)
		}
	}
	return out
}

// A broken platform shows its faults and nothing else, each either where it was
// planted or, when it is another machine's, from every node.
func TestBrokenPlatform(t *testing.T) {
	findings := judgeDemo(t, demo.Options{Broken: true})
	for name, from := range faults(t, findings, demo.Faults(false)) {
		if len(from) > 1 {
			assert.ElementsMatch(t, vantages(findings), from, name)
		}
	}
}

// One on which Carbonio runs shows its own, from wherever they can be seen.
func TestBrokenInstalledPlatform(t *testing.T) {
	findings := judgeDemo(t, demo.Options{Installed: true, Broken: true})
	from := faults(t, findings, demo.Faults(true))
	assert.ElementsMatch(t, vantages(findings), from["network.ping video2.example.com"])
	assert.ElementsMatch(t, vantages(findings), from["mesh.services carbonio-files on filesdocs1.example.com"])
	assert.ElementsMatch(t, []string{"svc1.example.com", "svc2.example.com", "svc3.example.com"}, from["zookeeper.mode svc3.example.com"])
	assert.Equal(t, []string{""}, from["resilience.tolerance svc1.example.com"])
}

// faults wants exactly these findings, and says where from each was made.
func faults(t *testing.T, findings []checks.Finding, want []string) map[string][]string {
	t.Helper()
	from := map[string][]string{}
	for _, f := range findings {
		if f.Status == checks.Pass || f.Status == checks.Skip {
			continue
		}
		name := f.Check.On(f.Target).String()
		from[name] = append(from[name], f.Vantage)
		if !slices.Contains(want, name) {
			t.Error(checkstest.Render([]checks.Finding{f}))
		}
	}
	assert.ElementsMatch(t, want, slices.Collect(maps.Keys(from)))
	return from
}

// judgeDemo looks from every node at once, and judges everything together.
func judgeDemo(t *testing.T, o demo.Options) []checks.Finding {
	t.Helper()
	suite, err := assemble()
	require.NoError(t, err)
	record, err := observeDemo(t.Context(), suite, o, 5*time.Second) // for a busy machine: only what is meant not to respond takes it
	require.NoError(t, err)
	for _, o := range record.Observations {
		require.NoError(t, suite.Readable(o))
	}
	return runner.Judge(suite, record).Findings
}

// vantages are the nodes that looked.
func vantages(findings []checks.Finding) []string {
	seen := map[string]bool{}
	for _, f := range findings {
		if f.Vantage != "" {
			seen[f.Vantage] = true
		}
	}
	return slices.Collect(maps.Keys(seen))
}
