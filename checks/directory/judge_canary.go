package directory

import (
	"fmt"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

func judgeCanary(s checks.Sight[ask, []write]) []checks.Finding {
	writes, _ := s.Got()
	if len(writes) == 0 {
		return []checks.Finding{canary.Unseen(s, all)}
	}
	var out []checks.Finding
	for _, w := range writes {
		out = append(out, w.judge(s))
	}
	return out
}

// arrived says whether the server got the entry.
func (a arrival) arrived() cluster.Answer {
	if a.Unasked != (checks.Unseen{}) {
		return cluster.Unseen
	}
	return cluster.Is(a.After > 0)
}

func (w write) judge(s checks.Sight[ask, []write]) checks.Finding {
	count := cluster.Ask(w.Arrivals, arrival.arrived)
	var times []string
	slowest := time.Duration(0)
	for _, a := range count.Yes {
		times = append(times, fmt.Sprintf("%s after %s", a.Name, a.After.Round(100*time.Microsecond)))
		slowest = max(slowest, a.After)
	}
	var f checks.Finding
	switch {
	case w.Left != checks.Unseen{}:
		return canary.Fail(s, w.Node, "the entry written on %s could not be removed", w.Node).Saw(w.Left.String()).With("entry", w.DN).
			Fix(fmt.Sprintf("ldapdelete -x -ZZ -H ldap://%s:389 -D cn=config -W '%s'", w.Node, w.DN))
	case s.Unseen() != checks.Unseen{}:
		return canary.Unseen(s, w.Node)
	case w.Error != checks.Unseen{}:
		return canary.Unknown(s, w.Node, "nothing was written on %s: %s", w.Node, w.Error)
	case len(w.Arrivals) == 0:
		return canary.Skip(s, w.Node, "there is no other server to replicate to")
	case len(count.No) > 0:
		f = canary.Fail(s, w.Node, "what was written on %s did not arrive on %s within %s", w.Node, strings.Join(cluster.Nodes(count.No), ", "), w.Waited.Round(100*time.Millisecond))
		f = cluster.Because(cluster.Because(f, agreements, count.No), monitor, count.No).Fix(on(strings.Join(cluster.Nodes(count.No), ", "), syncreplLog))
	case len(count.Unseen) > 0:
		a := count.Unseen[0]
		f = canary.Unknown(s, w.Node, "whether what was written on %s arrived on %s is unknown: %s", w.Node, a.Name, a.Unasked)
		f = cluster.Because(f, reachable, count.Unseen)
	default:
		f = canary.Pass(s, w.Node, "what is written on %s arrives everywhere within %s", w.Node, slowest.Round(100*time.Microsecond))
	}
	if len(times) > 0 {
		f = f.Saw(strings.Join(times, "\n"))
	}
	return f
}
