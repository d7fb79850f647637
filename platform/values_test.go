package platform

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What stands in a file as text comes back as it was.
func TestValuesSurviveJSON(t *testing.T) {
	type values struct {
		Release Release
		Zero    Release
		Wait    Duration
	}
	v := values{Release{25, 9, 2}, Release{}, Duration(1500 * time.Millisecond)}
	b, err := json.Marshal(v)
	require.NoError(t, err)
	require.JSONEq(t, `{"Release":"25.9.2","Zero":"","Wait":"1.5s"}`, string(b))
	var got values
	require.NoError(t, json.Unmarshal(b, &got))
	require.Equal(t, v, got)
	require.Error(t, json.Unmarshal([]byte(`{"Wait":"soon"}`), &got))
	require.Error(t, json.Unmarshal([]byte(`{"Release":"soon"}`), &got))
}

func TestLogin(t *testing.T) {
	require.NoError(t, Login{"x", SecretRef{Env: "X"}}.Check())
	require.EqualError(t, Login{}.Check(), "user is missing")
	require.ErrorContains(t, Login{User: "x"}.Check(), "password: want one of env")
	require.Equal(t, "$X", SecretRef{Env: "X"}.String())
	require.Equal(t, "/root/x", SecretRef{File: "/root/x"}.String())
}

func TestSourceInWords(t *testing.T) {
	require.Equal(t, "Carbonio manual, Requirements (26.6)", Requirements.String())
	require.Equal(t, "Carbonio manual, Requirements (26.6): network", Requirements.On("network").String())
	require.Empty(t, Requirements.Detail, "the table stays as it is")
}

func TestPortOfANode(t *testing.T) {
	require.Equal(t, "10.0.0.7:9092", Node{Address: netip.MustParseAddr("10.0.0.7")}.At(9092))
	require.Empty(t, Node{}.At(9092))
	require.Equal(t, "Kafka", Kafka.Title())
	require.Equal(t, "carbonio-ha at s3.example.com:9000", Bucket{Endpoint: "https://s3.example.com:9000/", Bucket: "carbonio-ha"}.String())
}
