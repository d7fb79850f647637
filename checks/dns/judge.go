package dns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// judge decides for each vantage, and about what the vantages see differently.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	for s := range configuration.In(seen) {
		out = append(out, judgeConfiguration(s))
	}
	all := views(scope, seen)
	for _, v := range all {
		for _, r := range v.Members {
			out = append(out, judgeResolver(r, time.Duration(resolverTime.In(scope))))
		}
		out = append(out, v.judgeResolvers())
		for _, n := range v.platform.Nodes {
			out = append(out, v.judgeForward(n), v.judgeAgreement(n))
		}
		out = append(out, v.judgeReverse()...)
		out = append(out, v.judgeWebmail())
		out = append(out, v.judgeMailDomain()...)
	}
	return append(out, judgeAcross(scope.Topology, all)...), nil
}

// A view is all that one vantage saw of the name service.
type view struct {
	cluster.View[resolver]
	hosts    checks.Sight[[]string, hostsLines]
	platform platform.Topology
}

// A resolver is one server as a vantage saw it.
type resolver struct {
	checks.Sight[[]question, lookup]
	lookup
	took  []time.Duration     // of the useful answers, sorted; without any, no more is said of it
	asked map[question]answer // names in lower case
}

// Node is the resolver's name.
func (r resolver) Node() string { return r.Target.Name }

func newResolver(s checks.Sight[[]question, lookup]) resolver {
	r := resolver{Sight: s, asked: map[question]answer{}}
	r.lookup, _ = s.Got()
	for _, a := range r.Answers {
		if a.useful() {
			r.took = append(r.took, a.Took)
		}
		r.asked[question{a.Type, strings.ToLower(a.Name)}] = a
	}
	slices.Sort(r.took)
	return r
}

// whole says whether the look was not broken off: only then does silence count.
func (r resolver) whole() bool { return r.Unseen() == checks.Unseen{} }

func views(scope checks.Scope, seen checks.Record) []view {
	files := map[string]checks.Sight[[]string, hostsLines]{}
	for s := range hosts.In(seen) {
		files[s.Vantage] = s
	}
	var out []view
	for _, v := range cluster.Views(seen, lookups, newResolver) {
		out = append(out, view{v, files[v.Vantage], scope.Topology})
	}
	return out
}

func judgeConfiguration(s checks.Sight[checks.Nothing, resolvConf]) checks.Finding {
	conf, got := s.Got()
	switch {
	case !got:
		return resolvers.Unseen(s, resolvFile)
	case len(conf.Bad) > 0:
		return resolvers.Warn(s, resolvFile, "%s has a nameserver line that the system ignores", resolvFile).
			Saw(strings.Join(conf.Bad, "\n")).Wanted("nameserver ADDRESS, at the beginning of the line")
	case conf.Default:
		return resolvers.Warn(s, resolvFile, "%s lists no nameserver, so the system asks %s", resolvFile, defaultServer).
			Wanted("nameserver ADDRESS")
	case len(conf.Ignored) > 0:
		return resolvers.Warn(s, resolvFile, "%s lists more than %d nameservers: the system never asks %s", resolvFile, maxServers, strings.Join(conf.Ignored, ", ")).
			Saw(fmt.Sprintf("%d nameservers", len(conf.Servers)+len(conf.Ignored))).Wanted(fmt.Sprintf("at most %d", maxServers))
	case len(conf.Upstream) > 0:
		return resolvers.Pass(s, resolvFile, "systemd-resolved asks %s", strings.Join(conf.Upstream, ", "))
	}
	return resolvers.Pass(s, resolvFile, "the system asks %s", strings.Join(conf.Servers, ", "))
}

func judgeResolver(r resolver, limit time.Duration) checks.Finding {
	name := r.Target.Name
	switch r.responds() {
	case cluster.No:
		return resolvers.Fail(r, name, "%s %s", name, r.complaint()).Saw(r.failures()).Wanted("an answer").
			Fix(fmt.Sprintf("%sdig %s @%s   # without an answer here too, remove %[3]s from the network configuration (netplan or nmcli)", checks.On(r.Vantage), r.Answers[0].Name, name))
	case cluster.Unseen:
		if r.whole() {
			return resolvers.Unknown(r, name, "no query was sent to %s", name)
		}
		return resolvers.Unseen(r, name)
	}
	median := r.took[len(r.took)/2].Round(100 * time.Microsecond)
	text := fmt.Sprintf("%s (median of %d)", median, len(r.took))
	if failures := r.failures(); failures != "" {
		text += "; " + failures
	}
	if median > limit {
		return resolvers.Warn(r, name, "%s is slow: it responds in %s", name, median).
			Saw(text).Wanted("at most " + limit.String())
	}
	return resolvers.Pass(r.Proof().Part(), name, "%s responds in %s", name, median).Saw(text)
}

// responds says whether the server gave a useful answer to anything.
func (r resolver) responds() cluster.Answer {
	switch {
	case len(r.took) > 0:
		return cluster.Yes
	case r.whole() && len(r.Answers) > 0:
		return cluster.No
	}
	return cluster.Unseen
}

// judgeResolvers judges whether the node can look up names at all: others need
// that. Where it cannot, each of its resolvers has a failure that explains it.
func (v view) judgeResolvers() checks.Finding {
	count := cluster.Ask(v.Members, resolver.responds)
	proof := checks.Together(v.Members...).Part()
	switch count.AtLeast(1) {
	case cluster.Yes:
		return resolvers.Pass(proof, v.Vantage, "%d of %d resolvers respond", len(count.Yes), len(v.Members))
	case cluster.No:
		f := resolvers.Fail(proof, v.Vantage, "no resolver responds, so %s cannot look up names", v.Vantage)
		return cluster.Because(f, resolvers, v.Members)
	}
	return resolvers.Unknown(proof, v.Vantage, "whether a resolver responds could not be seen")
}

// useful says whether the server knew, which includes that a name does not exist.
func (a answer) useful() bool { return a.Rcode == "NOERROR" || a.Rcode == "NXDOMAIN" }

// complaint says what a server does that has no useful answer.
func (r resolver) complaint() string {
	first := r.Answers[0]
	switch {
	case slices.ContainsFunc(r.Answers, func(a answer) bool { return a.text() != first.text() }):
		return "answers no query"
	case first.silent():
		return fmt.Sprintf("%s (waited %s)", first.Contact, r.Waited.Round(100*time.Millisecond))
	case first.Rcode == "":
		return "cannot be queried: " + first.text()
	case first.Rcode == "REFUSED":
		return "refuses every query: it does not serve this node"
	}
	return "answers every query with " + first.Rcode
}

// failures counts what came back instead of an answer: "3 of 36: timeout".
func (r resolver) failures() string {
	counts := map[string]int{}
	for _, a := range r.Answers {
		if !a.useful() && (a.Rcode != "" || r.whole()) {
			counts[cmp.Or(a.Rcode, a.text())]++
		}
	}
	var out []string
	for failure, n := range counts {
		out = append(out, fmt.Sprintf("%d of %d: %s", n, len(r.Answers), failure))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// A reply is what one live resolver said to a question.
type reply struct {
	server string
	answer
}

// replies are those of the live resolvers. The proof is whole when no look was
// broken off before the answer.
func (v view) replies(recordType, name string) ([]reply, checks.Proof) {
	var out []reply
	proofs := make([]checks.Proof, len(v.Members))
	for i, r := range v.Members {
		proofs[i] = r.Proof()
		a, asked := r.asked[question{recordType, strings.ToLower(name)}]
		if len(r.took) > 0 && asked && (a.Rcode != "" || r.whole()) {
			out = append(out, reply{r.Target.Name, a})
			proofs[i] = proofs[i].Part()
		}
	}
	return out, checks.Together(proofs...)
}

// unanswered is the finding for a question to which no resolver had an answer.
func (v view) unanswered(c *checks.Check, target, what string) checks.Finding {
	f := c.Unknown(checks.Together(v.Members...), target, "no resolver answers the query for %s", what)
	for _, r := range v.Members {
		f = f.Needing(resolvers.On(r.Target.Name))
		if !r.whole() {
			f.Message = fmt.Sprintf("%s could not be looked up: %s", what, r.Unseen())
		}
	}
	return f
}

// differing is the first reply with other values than the one before all; -1: none.
func differing(replies []reply) int {
	return slices.IndexFunc(replies, func(r reply) bool { return !slices.Equal(r.Values, replies[0].Values) })
}

// list says which resolver replied what.
func list(replies []reply) string {
	var out []string
	for _, r := range replies {
		out = append(out, r.server+": "+r.text())
	}
	return strings.Join(out, "\n")
}

// silent says whether nothing came back at all.
func (a answer) silent() bool { return a.Contact.State == checks.Silent && !a.Truncated }

// text is what came back, or why nothing did, in a few words.
func (a answer) text() string {
	text := cmp.Or(strings.Join(a.Values, ", "), "an empty answer")
	if a.More > 0 {
		text += fmt.Sprintf(" and %d more", a.More)
	}
	if len(a.Aliases) > 0 {
		text += " (alias of " + strings.Join(a.Aliases, ", ") + ")"
	}
	switch {
	case a.Invalid:
		return "the name is not valid in DNS"
	case a.Rcode == "NOERROR":
		return text
	case a.Rcode != "":
		return a.Rcode
	case a.Contact == checks.Contact{}:
		return "not waited for"
	}
	failure := "the server " + a.Contact.String()
	if a.Contact.State == checks.Silent {
		failure = "timeout"
	}
	if a.Truncated {
		return "the reply is truncated, and over TCP: " + failure
	}
	return failure
}
