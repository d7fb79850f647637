package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

// TestObservationsSchema holds the schema against the types that make the lines.
func TestObservationsSchema(t *testing.T) {
	schema := compile(t, "../docs/observations.schema.json")
	observation, err := json.Marshal(checks.Observation{
		Subject: "network", Vantage: fqdn("svc1"), At: time.Unix(0, 0).UTC(), Took: time.Second,
		Target: checks.Target{Kind: "port", Name: "mbox1:9092", Node: "mbox1", Address: "10.0.0.7:9092", Args: []string{"tcp"}},
		Data:   json.RawMessage(`{"open":true}`), Error: "timeout",
	})
	require.NoError(t, err)
	require.NoError(t, validate(t, schema, string(observation)))
	scope, err := json.Marshal(checks.Scope{Vantages: []checks.Vantage{{Node: fqdn("svc1")}}})
	require.NoError(t, err)
	header := `{"schema":"carbonio-check/observations/v1","run":{"id":"1","tool":"0.1","started":"2026-07-01T09:30:00Z","took":1},"node":"svc1.example.com","scope":` + string(scope) + `}`
	require.NoError(t, validate(t, schema, header))
	require.Error(t, validate(t, schema, strings.Replace(header, "/v1", "/v2", 1)))
	require.Error(t, validate(t, schema, strings.Replace(string(observation), `"kind"`, `"sort"`, 1)))
}
