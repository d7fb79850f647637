package platform

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseRelease(t *testing.T) {
	for text, want := range map[string]Release{
		"26.6": {26, 6, 0}, "25.9.2": {25, 9, 2}, " 24.12.0\n": {24, 12, 0},
	} {
		got, err := ParseRelease(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
	}
	for _, text := range []string{"", "26", "26.", "26.13", "26.0", "26.6.1.2", "a.b", "-1.2", "26.6-rc1", "100.1"} {
		_, err := ParseRelease(text)
		assert.Error(t, err, text)
	}
	assert.Equal(t, "25.9", R25_9.String())
	assert.Equal(t, "25.9.2", Release{25, 9, 2}.String())
	assert.True(t, R25_6.Before(Release{25, 6, 1}))
	assert.False(t, R25_9.Before(R25_9))
	assert.True(t, Release{25, 12, 0}.Before(Release{26, 1, 0}))
}

func TestProfileFor(t *testing.T) {
	profileFor := func(n Node, t Topology) Profile { return ProfileFor(Profiles, n, t) }
	mail := Node{Name: "mbox1", Components: []Component{Mailstore, DBConnector}}
	both := Node{Name: "both", Components: []Component{MTA, Mailstore}}
	none := Node{Name: "none"}
	t15 := Topology{Nodes: []Node{mail, both, none}}

	got := profileFor(mail, t15)
	assert.Equal(t, Profile{Name: "mailstore", CPUs: 4, MemoryGB: 16, DiskGB: 30}, got)
	assert.Equal(t, "MTA and proxy, mailstore", profileFor(both, t15).Name)
	assert.EqualValues(t, 16, profileFor(both, t15).MemoryGB, "the larger of the two")
	assert.Zero(t, profileFor(none, t15))
	assert.Equal(t, "single server", profileFor(mail, Topology{Nodes: []Node{mail}}).Name)
}

func TestEveryComponentOfTheTablesIsKnown(t *testing.T) {
	known := func(c Component) bool {
		_, ok := c.Info()
		return ok || c == Every
	}
	for _, p := range Ports {
		assert.True(t, known(p.Component), p.Component)
		assert.NotEmpty(t, p.Sources, "%s has no source", p)
		assert.NotEmpty(t, p.Purpose, p)
	}
	for _, r := range Rules {
		assert.True(t, known(r.From) && known(r.To))
		for _, number := range r.Ports {
			listens := slices.ContainsFunc(Ports, func(p Port) bool {
				return (p.Component == r.To || p.Component == Every) && p.Covers(number, r.Protocol) && !p.Local
			})
			assert.True(t, listens, "nothing of %s listens on %d/%s", r.To, number, r.Protocol)
		}
	}
	for _, p := range Profiles {
		for _, c := range p.Components {
			assert.True(t, known(c), c)
		}
	}
}

// The high-availability platform of the manual, from a mailstore.
func TestEdges(t *testing.T) {
	text, err := os.ReadFile("../fixtures/demo/inventory")
	require.NoError(t, err)
	inv, err := ParseInventory("inventory", strings.NewReader(string(text)))
	require.NoError(t, err)
	topology := inv.Topology()
	mbox1, ok := topology.Node("MBOX1.example.com")
	require.True(t, ok)
	edges := func(r Release, to string) []string {
		var out []string
		for _, e := range topology.Edges(mbox1, r) {
			if e.To.Name == to+".example.com" {
				out = append(out, e.Port.Purpose)
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	assert.Equal(t, []string{"SSH", "mesh gossip", "mesh sidecars"}, edges(R25_6, "mta1"))
	assert.Equal(t, []string{
		"HTTP, advanced", "HTTPS, advanced", "LMTP", "SOAP and administration", "SSH",
		"mailbox to mailbox", "mesh gossip", "mesh sidecars",
	}, edges(R25_6, "mbox2"))
	assert.Contains(t, edges(R25_6, "svc3"), "Kafka broker")
	assert.Empty(t, edges(R25_6, "mbox1"), "nobody must reach himself over the network")

	svc1, _ := topology.Node("svc1.example.com")
	of := func(r Release) (out []int) {
		for _, e := range topology.Edges(svc1, r) {
			if e.To.Name == "svc2.example.com" && slices.Contains([]int{2888, 3888, 9092, 9093}, e.Number) {
				out = append(out, e.Number)
			}
		}
		return out
	}
	assert.Equal(t, []int{9092, 2888, 3888}, of(R25_6), "ZooKeeper")
	assert.Equal(t, []int{9092, 9093}, of(R25_9), "KRaft")
}

func TestListens(t *testing.T) {
	n := Node{Components: []Component{ZooKeeper, Kafka}}
	numbers := func(r Release) (out []int) {
		for _, p := range n.Listens(r) {
			out = append(out, p.Number)
		}
		return out
	}
	assert.Contains(t, numbers(R25_6), 2181)
	assert.NotContains(t, numbers(R25_9), 2181)
	assert.Contains(t, numbers(R25_9), 9093)
	assert.Contains(t, numbers(R25_9), 22, "what every node listens on")
	assert.NotContains(t, numbers(R25_9), 7071, "what only a mailstore listens on")
}

func TestPort(t *testing.T) {
	p := Port{Number: 20000, Last: 21255, Protocol: "tcp"}
	assert.Equal(t, "20000-21255/tcp", p.String())
	assert.Equal(t, "22/tcp", Port{Number: 22, Protocol: "tcp"}.String())
	for number, want := range map[int]bool{19999: false, 20000: true, 20001: true, 21255: true, 21256: false} {
		assert.Equal(t, want, p.Covers(number, "tcp"), number)
	}
	assert.False(t, p.Covers(20000, "udp"))
}

func TestNearest(t *testing.T) {
	known := []string{"dns", "hosts", "network.port", "inventory"}
	for word, want := range map[string]string{
		"dsn": "dns", "host": "hosts", "network.prot": "network.port", "Inventroy": "inventory",
		"kafka": "", "": "", "x": "",
	} {
		assert.Equal(t, want, Nearest(word, known), word)
	}
}

func TestDomain(t *testing.T) {
	topology := Topology{Nodes: []Node{
		{Name: "mta1.other.example", Components: []Component{MTA}},
		{Name: "ds1.mail.example", Components: []Component{Directory}},
	}}
	assert.Equal(t, "mail.example", topology.Domain(), "bootstrap takes it from the directory server")
	topology.Inventory = &Inventory{Groups: []Group{{
		Name: string(Directory), Vars: []Var{{Key: "default_domain", Value: "first.example"}, {Key: "default_domain", Value: "example.com"}},
	}}}
	assert.Equal(t, "example.com", topology.Domain(), "the last one wins")
	assert.Empty(t, Topology{}.Domain())
}
