package system

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// A software is a program that conflicts with Carbonio.
type software struct {
	name      string
	packages  []string // patterns of path.Match
	processes []string // as the kernel names them
}

// conflicting lists what takes ports of Carbonio or brings the same service.
// HAProxy and PostgreSQL are not among them: the playbooks install those of the
// distribution.
var conflicting = []software{
	{"Postfix", []string{"postfix"}, []string{"qmgr", "pickup"}},
	{"Exim", []string{"exim4-daemon-*", "exim"}, []string{"exim4", "exim"}},
	{"Sendmail", []string{"sendmail", "sendmail-bin"}, []string{"sendmail", "sendmail-mta"}},
	{"Dovecot", []string{"dovecot-core", "dovecot"}, []string{"dovecot"}},
	{"Apache", []string{"apache2", "httpd"}, []string{"apache2", "httpd"}},
	{"nginx", []string{"nginx", "nginx-core", "nginx-full", "nginx-light", "nginx-extras"}, []string{"nginx"}},
	{"Cockpit", []string{"cockpit", "cockpit-ws"}, []string{"cockpit-ws", "cockpit-tls"}},
	{"Webmin", []string{"webmin"}, []string{"miniserv.pl"}},
	{"Pgpool", []string{"pgpool2", "pgpool-II*"}, []string{"pgpool"}},
	{"MariaDB or MySQL", []string{"mariadb-server*", "mysql-server*", "mysql-community-server"}, []string{"mariadbd", "mysqld"}},
	{"BIND", []string{"bind9", "bind"}, []string{"named"}},
}

// owns says whether the package belongs to the software. Its name ends up in a
// command to paste: only what may be one counts.
func (s software) owns(name string) bool {
	return strings.Trim(name, nameCharacters) == "" &&
		slices.ContainsFunc(s.packages, func(pattern string) bool {
			match, _ := path.Match(pattern, name)
			return match
		})
}

// nameCharacters are those of a package's name (Debian policy 5.6.1; rpm adds capitals and _).
const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._"

func (s software) runs(process string) bool { return slices.Contains(s.processes, process) }

// judgeConflicts brings the packages and the processes of each node together.
// Once Carbonio is installed its own Postfix and nginx run there, from
// /opt/zextras, and the processes say nothing.
func (v view) judgeConflicts() []checks.Finding {
	running := map[string]checks.Sight[checks.Nothing, []string]{}
	for s := range processLook.In(v.seen) {
		running[s.Vantage] = s
	}
	var out []checks.Finding
	for packages := range packageLook.In(v.seen) {
		processes, looked := running[packages.Vantage]
		node := v.scope.Vantage(packages.Vantage)
		switch {
		case node.Phase == checks.Health:
			out = append(out, nodeConflicts(node, packages)...)
		case looked:
			out = append(out, nodeConflicts(node, packages, processes)...)
		default:
			out = append(out, conflicts.Unknown(packages, packages.Vantage, "the processes were not looked at"))
		}
	}
	return out
}

// nodeConflicts judges the packages and, where they are given, the processes.
func nodeConflicts(node checks.Vantage, seen ...checks.Sight[checks.Nothing, []string]) []checks.Finding {
	basis := checks.Together(seen...)
	var names [2][]string // of packages, of processes
	for i, s := range seen {
		names[i], _ = s.Got()
	}
	var out []checks.Finding
	for _, s := range conflicting {
		packages, processes := cluster.Those(names[0], s.owns), cluster.Those(names[1], s.runs)
		var saw []string
		verdict, message, fix := conflicts.Warn, "%s is installed", "" // without a package the catalogue's
		if len(packages) > 0 {
			saw = append(saw, "packages "+strings.Join(packages, ", "))
			fix = checks.On(node.Node) + pick(node.OS, "apt-get purge ", "dnf remove ") + strings.Join(packages, " ")
		}
		if len(processes) > 0 {
			saw = append(saw, "processes "+strings.Join(processes, ", "))
			verdict, message = conflicts.Fail, "%s is running on this node"
		}
		if len(saw) > 0 {
			out = append(out, verdict(basis, s.name, message, s.name).Saw(strings.Join(saw, "; ")).Wanted("only Carbonio").Fix(fix))
		}
	}
	switch {
	case !basis.Whole():
		out = append(out, conflicts.Unseen(basis, node.Node))
	case len(out) == 0:
		out = append(out, conflicts.Pass(basis, node.Node, "no conflicting software is installed"))
	}
	return out
}

// A taken port is one that another program listens on.
type taken struct {
	need    platform.Port
	port    string // "25/tcp"
	holders []checks.Listener
}

func judgePorts(s sight[[]checks.Listener]) []checks.Finding {
	var out []checks.Finding
	for _, t := range takenPorts(s.scope.Node(s.Vantage).Listens(s.node.Release), s.saw) {
		who, fix := t.holder()
		out = append(out, freePorts.Fail(s, t.port, "%s (%s, %s) is in use by %s", t.port, t.need.Purpose, owner(t.need), who).
			Saw(t.addresses()).Wanted("free").Fix(s.on(fix)))
	}
	if len(out) == 0 || !s.Proof().Whole() {
		out = append(out, freePorts.Pass(s, s.Vantage, "every port that the node's components need is free"))
	}
	return out
}

func owner(p platform.Port) string {
	if p.Component == platform.Every {
		return "every node"
	}
	return p.Component.Title()
}

func takenPorts(needs []platform.Port, sockets []checks.Listener) []taken {
	slices.SortFunc(sockets, func(a, b checks.Listener) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol), a.Address.Compare(b.Address), cmp.Compare(a.PID, b.PID))
	})
	var out []taken
	for _, s := range sockets {
		i := slices.IndexFunc(needs, func(p platform.Port) bool { return collides(p, s) })
		if i < 0 {
			continue
		}
		port := fmt.Sprintf("%d/%s", s.Port, s.Protocol)
		if len(out) == 0 || out[len(out)-1].port != port {
			out = append(out, taken{need: needs[i], port: port})
		}
		last := &out[len(out)-1]
		last.holders = append(last.holders, s)
	}
	return out
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// collides says whether Carbonio could not bind the port beside the socket.
// What Carbonio binds on all addresses collides with a socket on any; what it
// binds on 127.0.0.1 does not with one on 127.0.0.53 or on the LAN.
func collides(p platform.Port, s checks.Listener) bool {
	ssh := p.Number == 22 // is expected
	// The video server takes free ports of its range; so does every program
	// that asks the kernel for one, since the ranges overlap.
	media := p.Protocol == "udp" && p.Last != 0
	if ssh || media || !p.Covers(s.Port, s.Protocol) {
		return false
	}
	return !p.Local || s.Address.IsUnspecified() || s.Address == loopback
}

// holder is who holds the port, and how to stop that.
func (t taken) holder() (who, fix string) {
	h := t.holders[0]
	switch {
	case h.PID == 0:
		return "a process that only root can see",
			fmt.Sprintf("ss -lntup 'sport = :%d'     # as root: names the process\nsystemctl disable --now UNIT", h.Port)
	case h.Process == "systemd":
		return "systemd, for a socket unit",
			fmt.Sprintf("systemctl list-sockets | grep ':%d'     # names the unit\nsystemctl disable --now UNIT.socket", h.Port)
	}
	return fmt.Sprintf("%s (pid %d)", cmp.Or(h.Process, "a process"), h.PID),
		fmt.Sprintf("systemctl status %d     # names the unit\nsystemctl disable --now UNIT", h.PID)
}

func (t taken) addresses() string {
	var out []string
	for _, h := range t.holders {
		out = append(out, netip.AddrPortFrom(h.Address, uint16(h.Port)).String())
	}
	return strings.Join(slices.Compact(out), ", ")
}
