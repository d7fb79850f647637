package directory

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

type report = checks.Sight[checks.Nothing, outputs]

func judgeTools(scope checks.Scope, r report) []checks.Finding {
	said, got := r.Got()
	v := snapshot{Members: membersOf(serversOf(scope.Topology))}
	switch {
	case !got:
		return []checks.Finding{tools.Unseen(r, "zmreplchk")}
	case len(v.Members) < 2 && scope.Topology.Inventory == nil:
		return []checks.Finding{unlisted(tools, r, "zmreplchk")}
	case len(v.Members) < 2:
		return []checks.Finding{tools.Skip(r, "zmreplchk", "the platform has only one directory server: nothing is replicated")}
	case len(v.masters()) < 2:
		return []checks.Finding{v.judgeReplchk(r, said.Replchk)}
	}
	return []checks.Finding{v.judgeReplchk(r, said.Replchk), v.judgeMMRTool(r, said.MMRTool)}
}

func (v snapshot) judgeReplchk(r report, o output[[]status]) checks.Finding {
	const target = "zmreplchk"
	switch {
	case o.Unseen != checks.Unseen{}:
		return tools.Unknown(r, target, "zmreplchk did not run: %s", o.Unseen)
	case o.Failed != "":
		return tools.Fail(r, target, "zmreplchk could not query the servers").Saw(o.Failed)
	}
	var lines []string
	for _, s := range o.Said {
		lines = append(lines, fmt.Sprintf("%s: %s Code: %d Status: %s", s.Role, s.URL, s.Code, s.Status))
	}
	evidence := strings.Join(lines, "\n")
	for _, m := range v.Members {
		// If ldap_master_url names one master, it prints no master at all.
		at := slices.IndexFunc(o.Said, func(s status) bool { return m.same(hostOf(s.URL)) })
		if at < 0 && len(v.masters()) > 1 && !m.Replica {
			return tools.Fail(r, target, "zmreplchk does not know the master %s", m.Name).Saw(evidence).Wanted("every master in ldap_master_url")
		}
		if at >= 0 && o.Said[at].idle() {
			return tools.Fail(r, target, "zmreplchk reports that %s is not a replicating master", m.Name).Saw(evidence).
				Wanted("a ServerID and CSNs").Needing(serverID.On(m.Name))
		}
	}
	same := v.agree(o.Said)
	bad := cluster.Those(o.Said, func(s status) bool { return s.Code != inSync && (s.Code != outOfSync || !same) })
	switch {
	case len(o.Said) == 0:
		return tools.Unknown(r, target, "the output of zmreplchk is in an unknown format")
	case len(bad) == 0:
		return tools.Pass(r, target, "zmreplchk reports every server in sync").Saw(evidence)
	}
	f := tools.Fail(r, target, "zmreplchk reports %s: %s", hostOf(bad[0].URL), bad[0].Status).Saw(evidence).Wanted("Code: 0 Status: In Sync")
	for _, s := range bad {
		if m := v.named(s.URL); m != nil {
			f = f.Needing(reachable.On(m.Name), csn.On(m.Name))
		}
	}
	return f
}

// idle says that the server is a master that replicates nothing, for which
// zmreplchk prints "CSNs Retrieved" and 0.
func (s status) idle() bool {
	return s.Role == "Master" && s.Code == inSync && (len(s.CSNs) == 0 || strings.Trim(s.ServerID, "0") == "")
}

// agree says that the CSNs that zmreplchk printed are the same after all: it
// compares them one by one, although they come in no particular order.
func (v snapshot) agree(all []status) bool {
	return len(all) > 0 && len(all[0].CSNs) > 0 && !slices.ContainsFunc(all, func(s status) bool {
		return !maps.Equal(v.vector(s.CSNs), v.vector(all[0].CSNs))
	})
}

func (v snapshot) judgeMMRTool(r report, o output[mmr]) checks.Finding {
	const target = "zmldapmmrtool"
	switch {
	case o.Unseen != checks.Unseen{}:
		return tools.Unknown(r, target, "zmldapmmrtool did not run: %s", o.Unseen)
	case o.Failed != "":
		return tools.Fail(r, target, "zmldapmmrtool could not read the configuration").Saw(o.Failed)
	case o.Said.Error != "":
		return tools.Fail(r, target, "zmldapmmrtool reports no multi-master configuration on this node").Saw(o.Said.Error).
			Wanted("Master Server ID, and an agreement with each other master").Needing(serverID.On(r.Vantage), agreements.On(r.Vantage))
	case o.Said.ServerID == "":
		return tools.Unknown(r, target, "the output of zmldapmmrtool is in an unknown format")
	}
	missing := cluster.Those(v.masters(), func(m *member) bool { return !m.same(r.Vantage) })
	var lines []string
	for _, a := range o.Said.Agreements {
		lines = append(lines, fmt.Sprintf("rid: %s URI: %s TLS: %s", a.RID, a.Provider, a.TLS))
		missing = cluster.Those(missing, func(m *member) bool { return !m.same(hostOf(a.Provider)) })
	}
	if len(missing) > 0 {
		return tools.Fail(r, target, "zmldapmmrtool reports no agreement with %s", names(missing)).
			Saw(strings.Join(lines, "\n")).Wanted("an agreement with each other master").Needing(agreements.On(r.Vantage))
	}
	return tools.Pass(r, target, "zmldapmmrtool reports server ID %s and an agreement with each other master", o.Said.ServerID).Saw(strings.Join(lines, "\n"))
}
