package checks_test

import (
	"context"
	"fmt"
	"testing"

	"carbonio-check/checks"
)

// An account is what a look at a whole platform's mailboxes would keep of each.
type account struct {
	Name string `json:"name"`
	Host string `json:"host"`
	Size int64  `json:"size"`
}

type accounts struct {
	Accounts []account `json:"accounts"`
	// Cut says that there are more than were kept.
	Cut bool `json:"cut,omitempty"`
}

// BenchmarkLargeLook carries 50,000 accounts from a look to a judge: what the
// largest look to come costs in time and memory.
func BenchmarkLargeLook(b *testing.B) {
	const most = 50_000
	look := &checks.Look[checks.Nothing, accounts]{
		Kind: "accounts",
		Targets: func(checks.Scope, checks.Host) ([]checks.Target[checks.Nothing], error) {
			return []checks.Target[checks.Nothing]{{Name: "accounts"}}, nil
		},
		Observe: func(context.Context, checks.Host, checks.Target[checks.Nothing]) (accounts, error) {
			seen := accounts{Accounts: make([]account, 0, most)}
			for i := range most + 1 {
				if len(seen.Accounts) == most {
					seen.Cut = true
					break
				}
				seen.Accounts = append(seen.Accounts, account{fmt.Sprintf("user%05d@example.com", i), "mbox1.example.com", int64(i) << 20})
			}
			return seen, nil
		},
	}
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		plan, err := look.Plan(checks.Scope{}, checks.Host{})
		if err != nil {
			b.Fatal(err)
		}
		data, err := plan[0].Observe(b.Context(), checks.Host{})
		if err != nil {
			b.Fatal(err)
		}
		size = len(data)
		for s := range look.In(checks.NewRecord([]checks.Observation{{Kind: "accounts", Data: data}})) {
			if seen, ok := s.Got(); !ok || len(seen.Accounts) != most || !seen.Cut {
				b.Fatal("not all of them arrived")
			}
		}
	}
	b.ReportMetric(float64(size), "bytes/file")
}
