package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Judge decides for each vantage, and on what the vantages see differently.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	for o, conf := range checks.Of[resolvConf](seen, configurationKind) {
		out = append(out, judgeConfiguration(o, conf))
	}
	views := viewsOf(seen)
	for _, v := range views {
		for _, r := range v.resolvers {
			out = append(out, judgeResolver(scope.Policy, r))
		}
		for _, n := range scope.Topology.Nodes {
			out = append(out, v.forward(n), v.hostsAgree(n))
		}
		out = append(out, v.reverse(scope.Topology)...)
		out = append(out, v.domain(scope.Topology)...)
	}
	return append(out, acrossVantages(scope.Topology, views)...)
}

// A view is all that one vantage saw of the name service.
type view struct {
	o         checks.Observation // stands for the others: whose vantage it is
	resolvers []resolver         // sorted by name
	hosts     map[string][]netip.Addr
	hostsErr  string // why /etc/hosts was not seen
}

// A resolver is one server as a vantage saw it.
type resolver struct {
	checks.Observation
	lookup
	alive bool             // it answers anything: when it does not, that is all to say of it
	index map[question]int // of answers, names in lower case
}

func newResolver(o checks.Observation, l lookup) resolver {
	r := resolver{Observation: o, lookup: l, index: map[question]int{}}
	for i, a := range l.Answers {
		r.alive = r.alive || a.useful()
		r.index[question{a.Type, strings.ToLower(a.Name)}] = i
	}
	return r
}

func viewsOf(seen []checks.Observation) []*view {
	views := map[string]*view{}
	for o, l := range checks.Of[lookup](seen, resolverKind) {
		v := views[o.Vantage]
		if v == nil {
			v = &view{hostsErr: "it was not looked at"}
			views[o.Vantage] = v
		}
		v.resolvers = append(v.resolvers, newResolver(o, l))
	}
	for o, h := range checks.Of[hostsView](seen, hostsKind) {
		if v := views[o.Vantage]; v != nil {
			v.hosts, v.hostsErr = h.Nodes, o.Error
		}
	}
	var out []*view
	for _, v := range views {
		slices.SortFunc(v.resolvers, func(a, b resolver) int { return cmp.Compare(a.Target.Name, b.Target.Name) })
		v.o = v.resolvers[0].Observation
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b *view) int { return cmp.Compare(a.o.Vantage, b.o.Vantage) })
	return out
}

func judgeConfiguration(o checks.Observation, conf resolvConf) checks.Finding {
	switch {
	case o.Error != "":
		return o.Unseen(resolvFile, resolversID)[0]
	case len(conf.Bad) > 0:
		return o.Warn(resolversID, resolvFile, "%s has a nameserver line that the system does not read", resolvFile).
			Saw(strings.Join(conf.Bad, "\n")).Wanted("nameserver ADDRESS, from the first column")
	case conf.Default:
		return o.Warn(resolversID, resolvFile, "%s names no server, so the system asks %s", resolvFile, defaultServer).
			Wanted("nameserver ADDRESS")
	case len(conf.Ignored) > 0:
		return o.Warn(resolversID, resolvFile, "%s names more than %d servers: the system never asks %s", resolvFile, maxServers, strings.Join(conf.Ignored, ", ")).
			Saw(fmt.Sprintf("%d servers", len(conf.Servers)+len(conf.Ignored))).Wanted(fmt.Sprintf("%d at most", maxServers))
	case len(conf.Upstream) > 0:
		return o.Pass(resolversID, resolvFile, "systemd-resolved asks %s", strings.Join(conf.Upstream, ", "))
	}
	return o.Pass(resolversID, resolvFile, "the system asks %s", strings.Join(conf.Servers, ", "))
}

func judgeResolver(policy platform.Policy, r resolver) checks.Finding {
	name, total := r.Target.Name, len(r.Answers)
	took := r.times()
	switch {
	case len(took) == 0 && r.Error != "":
		return r.Unseen(name, resolversID)[0]
	case total == 0:
		return r.Unknown(resolversID, name, "%s was asked nothing", name)
	case len(took) == 0:
		return r.Fail(resolversID, name, "%s %s", name, r.complaint()).
			Saw(r.tally()).Wanted("answers").
			Fix(fmt.Sprintf("dig %s @%s   # when it has no answer either, take %[2]s out of the network configuration (netplan, nmcli)", r.Answers[0].Name, name))
	}
	median := took[len(took)/2].Round(100 * time.Microsecond)
	limit := time.Duration(policy.ResolverTime)
	text := fmt.Sprintf("%s (median of %d answers)", median, len(took))
	if len(took) < total {
		text += "; the rest: " + r.tally()
	}
	if median > limit {
		return r.Warn(resolversID, name, "%s is slow: it answers in %s", name, median).
			Saw(text).Wanted("at most " + limit.String())
	}
	return r.Pass(resolversID, name, "%s answers in %s", name, median).Saw(text)
}

// times are the times of the answers that say something, sorted.
func (r resolver) times() []time.Duration {
	var out []time.Duration
	for _, a := range r.Answers {
		if a.useful() {
			out = append(out, a.Took)
		}
	}
	slices.Sort(out)
	return out
}

// useful says whether the server knew: also that there is no such name.
func (a answer) useful() bool {
	return a.Error == "" && (a.Rcode == "NOERROR" || a.Rcode == "NXDOMAIN")
}

// complaint says what a server that knows nothing does instead.
func (r resolver) complaint() string {
	switch first := r.Answers[0]; {
	case len(r.outcomes()) > 1:
		return "answers no question"
	case first.Error == "timeout":
		return fmt.Sprintf("does not answer (%s waited)", r.Waited.Round(100*time.Millisecond))
	case first.Error != "":
		return "cannot be asked: " + first.Error
	case first.Rcode == "REFUSED":
		return "refuses every question: it does not serve this node"
	default:
		return "answers every question with " + first.Rcode
	}
}

// outcomes counts what came back instead of an answer.
func (r resolver) outcomes() map[string]int {
	out := map[string]int{}
	for _, a := range r.Answers {
		if !a.useful() {
			out[cmp.Or(a.Error, a.Rcode)]++
		}
	}
	return out
}

// tally gives "3 of 36 timeout, 1 of 36 SERVFAIL".
func (r resolver) tally() string {
	var out []string
	for outcome, n := range r.outcomes() {
		out = append(out, fmt.Sprintf("%d of %d %s", n, len(r.Answers), outcome))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// A reply is what one living resolver said to a question.
type reply struct {
	server string
	answer
}

// replies are what the living resolvers said. An unanswered question counts
// only where the look was not cut short.
func (v *view) replies(recordType, name string) []reply {
	var out []reply
	for _, r := range v.resolvers {
		i, asked := r.index[question{recordType, strings.ToLower(name)}]
		if r.alive && asked && (r.Answers[i].Error == "" || r.Error == "") {
			out = append(out, reply{r.Target.Name, r.Answers[i]})
		}
	}
	return out
}

// unanswered is the finding for a question to which no resolver had an answer.
func (v *view) unanswered(check, target, what string) checks.Finding {
	f := v.o.Unknown(check, target, "no resolver answers for %s", what)
	for _, r := range v.resolvers {
		f = f.Needing(resolversID, r.Target.Name)
		if r.Error != "" {
			f.Message = fmt.Sprintf("%s could not be looked up: %s", what, r.Error)
		}
	}
	return f
}

// said lists what each resolver said.
func said(replies []reply) string {
	var out []string
	for _, r := range replies {
		out = append(out, r.server+": "+r.text())
	}
	return strings.Join(out, "\n")
}

// text says in a few words what came back.
func (a answer) text() string {
	var text string
	switch {
	case a.Error != "":
		return a.Error
	case a.Rcode != "NOERROR":
		return a.Rcode
	case len(a.Values) == 0:
		text = "an empty answer"
	default:
		text = strings.Join(a.Values, ", ")
	}
	if a.More > 0 {
		text += fmt.Sprintf(" and %d more", a.More)
	}
	if len(a.Aliases) > 0 {
		text += " (alias of " + strings.Join(a.Aliases, ", ") + ")"
	}
	return text
}
