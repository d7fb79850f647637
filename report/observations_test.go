package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/runner"
)

// TestObservationsSchema holds the schema against what is written.
func TestObservationsSchema(t *testing.T) {
	schema := compile(t, "../docs/observations.schema.json")
	target := checks.Target[json.RawMessage]{Name: "mbox1:9092", Node: "mbox1", Address: "10.0.0.7:9092", Ask: json.RawMessage(`{"tcp":[9092]}`)}
	node := runner.Node{
		Run:     runner.Run{ID: "1", Tool: "0.2", Started: time.Unix(0, 0).UTC(), Took: time.Second},
		Scope:   checks.Scope{Vantages: []checks.Vantage{{Node: fqdn("svc1")}}},
		Planned: runner.Planned{"network.ports": {{Name: "mbox1:9092", Node: "mbox1", Address: "10.0.0.7:9092"}}},
		Observations: []checks.Observation{{
			Subject: "network", Kind: "ports", Vantage: fqdn("svc1"), At: time.Unix(0, 0).UTC(), Took: time.Second, Target: target,
			Data: json.RawMessage(`{"open":true}`), Unseen: &checks.Unseen{Code: checks.TimedOut, Words: "5s"},
		}},
	}
	var b bytes.Buffer
	require.NoError(t, runner.Write(&b, node))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.Len(t, lines, 3)
	for i, change := range [][2]string{{"/v2", "/v1"}, {`"kind"`, `"sort"`}, {"sha256:", "md5:"}} {
		require.NoError(t, validate(t, schema, lines[i]))
		require.Contains(t, lines[i], change[0])
		require.Error(t, validate(t, schema, strings.Replace(lines[i], change[0], change[1], 1)))
	}
}
