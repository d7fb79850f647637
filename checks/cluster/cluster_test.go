package cluster_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

type answers = []cluster.Answer

// A statement on several is known only as far as it was seen.
func TestQuantifiers(t *testing.T) {
	const un, no, yes = cluster.Unseen, cluster.No, cluster.Yes
	for _, tt := range []struct {
		said                            answers
		every, none, one, two, majority cluster.Answer
	}{
		{answers{}, un, yes, no, no, no},
		{answers{yes, yes, yes}, yes, no, no, yes, yes},
		{answers{yes, yes, un}, un, no, no, yes, yes},
		{answers{yes, un, un}, un, no, un, un, un},
		{answers{yes, no, un}, no, no, un, un, un},
		{answers{yes, no, no}, no, no, yes, no, no},
		{answers{no, no, no}, no, yes, no, no, no},
		{answers{no, no, un}, no, un, un, no, no},
		{answers{un, un, un}, un, un, un, un, un},
	} {
		c := cluster.Ask(tt.said, func(a cluster.Answer) cluster.Answer { return a })
		assert.Equal(t, tt.every, c.Every(), "every of %v", tt.said)
		assert.Equal(t, tt.none, c.None(), "none of %v", tt.said)
		assert.Equal(t, tt.one, c.ExactlyOne(), "exactly one of %v", tt.said)
		assert.Equal(t, tt.two, c.AtLeast(2), "two of %v", tt.said)
		assert.Equal(t, tt.majority, c.Majority(3), "a majority of %v", tt.said)
	}
	assert.Equal(t, yes, cluster.Is(true))
	assert.Equal(t, no, cluster.Is(false))
}

// What a cluster can lose is counted over those who are able; those who were not
// seen may be.
func TestSpare(t *testing.T) {
	c := checks.Cluster{Members: []string{"a", "b", "c"}, Able: []string{"a", "b"}, Unseen: []string{"c"}, Needs: 2}
	least, most := cluster.Spare(c)
	assert.Equal(t, []int{0, 1}, []int{least, most})
	assert.Equal(t, cluster.Yes, cluster.Survives(c, 0))
	assert.Equal(t, cluster.Unseen, cluster.Survives(c, 1))
	assert.Equal(t, cluster.No, cluster.Survives(c, 2))
	least, most = cluster.Spare(c, "a")
	assert.Equal(t, []int{-1, 0}, []int{least, most})
	c.Together, c.Least = [][]string{{"a", "c"}}, 2
	least, most = cluster.Spare(c)
	assert.Equal(t, []int{-1, 0}, []int{least, most}, "a set of two of which one was not seen")
}

type member struct {
	checks.Sight[checks.Nothing, int]
}

func (m member) Node() string { return m.Target.Node }

func TestViews(t *testing.T) {
	look := &checks.Look[checks.Nothing, int]{
		Kind:    "k",
		Targets: func(checks.Scope, checks.Host) ([]checks.Target[checks.Nothing], error) { return nil, nil },
		Observe: func(context.Context, checks.Host, checks.Target[checks.Nothing]) (int, error) { return 0, nil },
	}
	var all []checks.Observation
	for _, from := range []string{"n2", "n1"} {
		for _, of := range []string{"b", "a"} {
			all = append(all, checks.Observation{Kind: "k", Vantage: from, Target: checks.Target[json.RawMessage]{Node: of}, Data: json.RawMessage("1")})
		}
	}
	views := cluster.Views(checks.NewRecord(all), look, func(s checks.Sight[checks.Nothing, int]) member { return member{s} })
	assert.Len(t, views, 2)
	assert.Equal(t, "n1", views[0].Vantage)
	assert.Equal(t, []string{"a", "b"}, cluster.Nodes(views[0].Members))
	check := &checks.Check{ID: "m.mode", Looks: []checks.AnyLook{look}}
	f := cluster.Because(check.Fail(checks.Together(views[0].Members...), "m", "no"), check, views[0].Members)
	assert.Equal(t, []checks.Need{check.On("a"), check.On("b")}, f.Needs)
	assert.Len(t, cluster.Those(views[0].Members, func(m member) bool { return m.Node() == "a" }), 1)
}
