// Package directory checks the LDAP servers of a platform: whether they
// respond, replicate from each other, and hold the same data.
package directory

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name:     "directory",
	Checks:   catalogue,
	Settings: []checks.AnySetting{login, withCanary},
	Judge:    judge,
}

var catalogue = []*checks.Check{reachable, serverID, agreements, csn, entries, monitor, tools, canary, tolerance}

// all is the target of what is said of all servers together.
const all = "directory"

const (
	ldapPort  = 389
	ldapsPort = 636
)

var login = checks.LoginSetting("logins.directory",
	"The login for cn=config and cn=monitor of the directory servers, and for the entries that --canary writes. Not needed when run as root or zextras on a directory server: the login for cn=config is then read from Carbonio's local configuration.",
	"{user: cn=config, password: {file: /root/ldap.password}}", platform.CoreUtils.On("replchk.pl"))

var withCanary = &checks.Setting[bool]{
	Flag: "canary",
	Doc:  "Write a small entry on each directory master, check that it arrives on every other server, and delete it again.",
}

var (
	installed = []checks.Phase{checks.Health}
	// directoryNodes: only a directory node knows the login that reads cn=config and
	// cn=monitor.
	directoryNodes = []platform.Component{platform.Directory, platform.Replica}
	// clients: what anybody may read is worth a look from the mailstores as well.
	clients        = append(slices.Clone(directoryNodes), platform.Mailstore)
	afterReachable = []*checks.Check{reachable}
)

var (
	// Servers can only be compared side by side, so one look reads all of them. Its
	// timeout leaves room for zmlocalconfig, which starts a JVM.
	servers = &checks.Look[ask, snapshot]{Kind: "servers", Timeout: 12 * time.Second, Targets: targets, Observe: observe}
	// The timeout is for three runs of zmreplchk and one of zmldapmmrtool.
	programs = &checks.Look[checks.Nothing, outputs]{Kind: "tools", Timeout: 40 * time.Second, Targets: programTargets, Observe: observePrograms}
	canaries = &checks.Look[ask, []write]{
		Kind: "canary", Timeout: 20 * time.Second, Grace: canaryGrace, Targets: canaryTargets, Observe: observeCanary,
	}
	looks = []checks.AnyLook{servers}
)

var reachable = &checks.Check{
	ID:      "directory.reachable",
	Title:   "Every directory server responds on port 389 and offers StartTLS",
	Why:     "Every Carbonio service looks up users and mail routes in the directory; the mesh does not even start without it. Replication between the servers requires StartTLS.",
	Manual:  "ldapsearch -x -ZZ -H ldap://svc1.example.com:389 -s base -b '' contextCSN\nopenssl s_client -starttls ldap -connect svc1.example.com:389 </dev/null | openssl x509 -noout -dates\nopenssl s_client -connect svc1.example.com:636 </dev/null",
	Remedy:  "systemctl status carbonio-openldap     # Ubuntu 22.04, RHEL 8: su - zextras -c 'ldap status'\njournalctl -u carbonio-openldap -n 50",
	Sources: []platform.Source{platform.Requirements.On("network"), platform.CoreUtils.On("ldap.sh: 389 and ldapi, and 636 only where ldap_url says so")},
	Phases:  installed, Components: clients, Looks: looks,
}

var serverID = &checks.Check{
	ID:      "directory.serverid",
	Title:   "Every master has its own server ID",
	Why:     "The ID says which master made a change. A master assumes that it made every change with its own ID, and never fetches those: when two masters share an ID, entries are lost permanently while everything else looks healthy.",
	Manual:  "ldapsearch -x -ZZ -H ldap://svc1.example.com -D cn=config -W -s base -b cn=config olcServerID   # on each master",
	Remedy:  "# with an ID that no other master has\nldapmodify -x -ZZ -H ldap://svc2.example.com -D cn=config -W <<EOF\ndn: cn=config\nchangetype: modify\nreplace: olcServerID\nolcServerID: 2\nEOF\n# then reload that server from another master: what it did not fetch is still missing",
	Sources: []platform.Source{platform.Cluster.On("install_multimaster: IDs 1 and 2"), platform.OpenLDAP.On("multi-provider")},
	Phases:  installed, Components: directoryNodes, Looks: looks, Needs: afterReachable,
}

var agreements = &checks.Check{
	ID:      "directory.agreements",
	Title:   "Each master replicates from every other master, each replica from a master",
	Why:     "An agreement works in one direction. If one is missing, changes made on the other side never arrive here, and nothing reports an error.",
	Manual:  "su - zextras -c '/opt/zextras/libexec/zmldapmmrtool -q'   # on each master",
	Remedy:  "su - zextras -c '/opt/zextras/libexec/zmldapenable-mmr -r 101 -m ldap://svc2.example.com:389/'   # on svc1.example.com, if it does not replicate from svc2",
	Sources: []platform.Source{platform.Cluster.On("install_multimaster"), platform.CoreUtils.On("ldapenable-mmr.pl")},
	Phases:  installed, Components: directoryNodes, Looks: looks, Needs: afterReachable,
}

var csn = &checks.Check{
	ID:      "directory.csn",
	Title:   "Every server has every change that any other server has",
	Why:     "A server that is behind routes mail to the old mailstore and rejects new passwords. A second or two is normal, so a server that lags is read again before it counts.",
	Manual:  "for h in svc1 svc2; do ldapsearch -x -ZZ -LLL -H ldap://$h.example.com -s base -b '' contextCSN; done\nsu - zextras -c /opt/zextras/libexec/zmreplchk",
	Remedy:  "journalctl -u carbonio-openldap | grep -i syncrepl   # on the server that is behind",
	Sources: []platform.Source{platform.HAStatus.On("zmreplchk"), platform.CoreUtils.On("replchk.pl"), platform.RFC4533},
	Phases:  installed, Components: clients, Looks: looks, Needs: afterReachable,
}

var entries = &checks.Check{
	ID:      "directory.entries",
	Title:   "All servers hold the same number of entries",
	Why:     "Servers can agree on the last change and still hold different data: after a duplicate server ID, or an initial copy that was interrupted. This does not repair itself.",
	Manual:  "ldapsearch -x -ZZ -LLL -H ldap://svc1.example.com -D cn=config -W -b cn=Databases,cn=Monitor '(namingContexts=)' olmMDBEntries   # on each server",
	Remedy:  "su - zextras -c 'slapcat -F /opt/zextras/data/ldap/config -b \"\" -l /tmp/ldap.ldif'   # on a server that has all entries; then load the file on the one that lacks some",
	Sources: []platform.Source{platform.Policy, platform.OpenLDAP.On("slapd-mdb: olmMDBEntries")},
	Phases:  installed, Components: directoryNodes, Looks: looks,
}

var monitor = &checks.Check{
	ID:      "directory.monitor",
	Title:   "Every replication link is up",
	Why:     "While nothing is written, a link that is down looks like one that is idle: the next change does not arrive.",
	Manual:  "ldapsearch -x -ZZ -LLL -H ldap://svc1.example.com -D cn=config -W -b cn=Databases,cn=Monitor '(objectClass=olmSyncReplInstance)'",
	Remedy:  "journalctl -u carbonio-openldap | grep -i syncrepl   # on the server whose link is down: wrong password, certificate, or network",
	Sources: []platform.Source{platform.OpenLDAP.On("slapd-monitor: olmSyncReplInstance")},
	Phases:  installed, Components: directoryNodes, Looks: looks, Needs: afterReachable,
}

var tools = &checks.Check{
	ID:      "directory.tools",
	Title:   "Carbonio's own tools report the directory in sync",
	Why:     "They read the local configuration that Carbonio itself uses, so they show when it names the wrong servers. Their exit status means nothing: it is 0 even when servers are out of sync.",
	Manual:  "su - zextras -c /opt/zextras/libexec/zmreplchk\nsu - zextras -c '/opt/zextras/libexec/zmldapmmrtool -q'",
	Remedy:  "su - zextras -c 'zmlocalconfig ldap_master_url ldap_url'   # must name every master, the node's own first",
	Sources: []platform.Source{platform.HAStatus, platform.CoreUtils.On("replchk.pl, ldapmmrtool.pl")},
	Phases:  installed, Components: []platform.Component{platform.Directory}, Looks: []checks.AnyLook{programs},
}

var canary = &checks.Check{
	ID:      "directory.canary",
	Title:   "What is written on one master arrives on every server",
	Why:     "It is the only proof that replication works now, and it shows how long a change takes.",
	Manual:  "ldapadd -x -ZZ -H ldap://svc1.example.com -D cn=config -W <<EOF\ndn: cn=canary,cn=zimbra\nobjectClass: organizationalRole\ncn: canary\nEOF\nldapsearch -x -ZZ -H ldap://svc2.example.com -D cn=config -W -s base -b cn=canary,cn=zimbra\nldapdelete -x -ZZ -H ldap://svc1.example.com -D cn=config -W cn=canary,cn=zimbra",
	Remedy:  "journalctl -u carbonio-openldap | grep -i syncrepl   # on the server where it did not arrive",
	Sources: []platform.Source{platform.Policy, platform.DirectoryReplica.On("a test account is replicated")},
	Phases:  installed, Components: clients, Looks: []checks.AnyLook{canaries}, Needs: afterReachable, Wants: withCanary,
}

var tolerance = &checks.Check{
	ID:      "directory.tolerance",
	Title:   "The directory can lose one more server",
	Why:     "Clients use the first server that responds, so one must be up; only a master accepts changes.",
	Manual:  "for h in svc1 svc2; do ldapsearch -x -ZZ -LLL -H ldap://$h.example.com -s base -b '' contextCSN; done",
	Remedy:  "systemctl restart carbonio-directory-server.target   # on each server that does not respond",
	Sources: []platform.Source{platform.ScenarioHA, platform.Cluster.On("haproxy.cfg: the second master is the backup of the first")},
	Phases:  installed, Components: clients, Looks: looks, Clusters: true,
}

// An ask is what a look needs to know: the servers, and how to log in.
type ask struct {
	Servers []server       `json:"servers"`
	Login   platform.Login `json:"login,omitzero"`
	// Installed says that this node is a directory server itself and knows the
	// login of cn=config.
	Installed bool `json:"installed,omitempty"`
}

// A server is one directory server of the platform.
type server struct {
	Name    string     `json:"node"`
	Address netip.Addr `json:"address,omitzero"`
	Replica bool       `json:"replica,omitempty"`
}

// Node makes a server a member of a cluster.
func (s server) Node() string { return s.Name }

// same says whether a host, as an LDAP URL names it, is this server.
func (s server) same(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address == s.Address
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), s.Name)
}

// serversOf are the directory servers of the platform: the masters first.
func serversOf(t platform.Topology) []server {
	var out []server
	for _, n := range t.With(platform.Directory) {
		out = append(out, server{Name: n.Name, Address: n.Address})
	}
	for _, n := range t.With(platform.Replica) {
		if !n.Has(platform.Directory) {
			out = append(out, server{Name: n.Name, Address: n.Address, Replica: true})
		}
	}
	return out
}

// installedHere says whether this node has any of the components, installed.
func installedHere(scope checks.Scope, any ...platform.Component) bool {
	return scope.Self().Phase == checks.Health && scope.Node(scope.Self().Node).Has(any...)
}

func targets(scope checks.Scope, _ checks.Host) ([]checks.Target[ask], error) {
	a := ask{Servers: serversOf(scope.Topology), Login: login.In(scope), Installed: installedHere(scope, directoryNodes...)}
	if len(a.Servers) == 0 {
		return nil, nil
	}
	return []checks.Target[ask]{{Name: all, Ask: a}}, nil
}

func canaryTargets(scope checks.Scope, host checks.Host) ([]checks.Target[ask], error) {
	if !withCanary.In(scope) {
		return nil, nil
	}
	return targets(scope, host)
}

func programTargets(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
	if !installedHere(scope, platform.Directory) {
		return nil, nil
	}
	self := scope.Node(scope.Self().Node).Name
	return []checks.Target[checks.Nothing]{{Name: self, Node: self}}, nil
}
