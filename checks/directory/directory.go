// Package directory checks the LDAP servers of a platform: whether they answer,
// replicate from each other, and hold the same.
package directory

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject "directory".
type Module struct{}

// Name is "directory".
func (Module) Name() string { return "directory" }

// The checks, and the kinds of target they are judged from.
const (
	reachableID  = "directory.reachable"
	serveridID   = "directory.serverid"
	agreementsID = "directory.agreements"
	csnID        = "directory.csn"
	entriesID    = "directory.entries"
	monitorID    = "directory.monitor"
	toolsID      = "directory.tools"
	canaryID     = "directory.canary"
	toleranceID  = "directory.tolerance"

	kindServers = "servers"
	kindTools   = "tools"
	kindCanary  = "canary"

	// cluster is the target of a finding on all servers together.
	cluster = "directory"
)

// The deadlines of looks that take longer than the run's.
const (
	// installedTimeout leaves room for zmlocalconfig, which starts a JVM: a third
	// of it.
	installedTimeout = 12 * time.Second
	// toolsTimeout is for three runs of zmreplchk and one of zmldapmmrtool.
	toolsTimeout  = 40 * time.Second
	canaryTimeout = 20 * time.Second
	canaryGrace   = 10 * time.Second
)

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	// Only a directory node knows the login that reads cn=config and cn=monitor;
	// what anybody may read is worth a look from the mailstores as well.
	masters := []platform.Component{platform.Directory, platform.Replica}
	clients := append(slices.Clone(masters), platform.Mailstore)
	installed := []checks.Phase{checks.Health}
	all := []checks.Check{
		{
			ID:     reachableID,
			Title:  "Every directory server answers on 389, and encrypts when asked to",
			Why:    "Every Carbonio service asks the directory who a user is and where the mail goes; the mesh does not even start without it. Replication between the servers demands StartTLS.",
			Manual: "ldapsearch -x -ZZ -H ldap://svc1.example.com:389 -s base -b '' contextCSN\nopenssl s_client -starttls ldap -connect svc1.example.com:389 </dev/null | openssl x509 -noout -dates\nopenssl s_client -connect svc1.example.com:636 </dev/null",
			Remedy: "systemctl status carbonio-openldap     # Ubuntu 22.04, RHEL 8: su - zextras -c 'ldap status'\njournalctl -u carbonio-openldap -n 50",
			Source: "REQ26 network; CCU ldap.sh: 389 and ldapi, and 636 only where ldap_url says so",
			Looks:  []string{kindServers}, Components: clients,
		},
		{
			ID:     serveridID,
			Title:  "Every master has a server ID, and no two have the same",
			Why:    "The ID tells whose a change is. A master takes changes under its own ID for its own, and never fetches them: with one ID twice, entries are lost for good while every other sign stays green.",
			Manual: "ldapsearch -x -ZZ -H ldap://svc1.example.com -D cn=config -W -s base -b cn=config olcServerID     # on each master",
			Remedy: "ldapmodify -x -ZZ -H ldap://svc2.example.com -D cn=config -W <<EOF\ndn: cn=config\nchangetype: modify\nreplace: olcServerID\nolcServerID: 2\nEOF\n# then fetch what was lost: reload the server from the other master",
			Source: "HAA install_multimaster: IDs 1 and 2; OpenLDAP Administrator's Guide, multi-provider",
			Needs:  []string{reachableID}, Looks: []string{kindServers}, Components: masters,
		},
		{
			ID:     agreementsID,
			Title:  "Each master replicates from every other, each replica from a master",
			Why:    "An agreement points one way. With one missing, changes made on that side never arrive on this one, and nothing reports an error.",
			Manual: "su - zextras -c '/opt/zextras/libexec/zmldapmmrtool -q'     # on each master",
			Remedy: "su - zextras -c '/opt/zextras/libexec/zmldapenable-mmr -r 101 -m ldap://OTHER:389/'",
			Source: "HAA install_multimaster; CCU ldapenable-mmr.pl",
			Needs:  []string{reachableID}, Looks: []string{kindServers}, Components: masters,
		},
		{
			ID:     csnID,
			Title:  "Every server has the changes that any other server has",
			Why:    "A server that is behind sends mail to the old place and refuses the new password. A second or two is normal, so what lags is looked at again before it counts.",
			Manual: "for h in svc1 svc2; do ldapsearch -x -ZZ -LLL -H ldap://$h.example.com -s base -b '' contextCSN; done\nsu - zextras -c /opt/zextras/libexec/zmreplchk",
			Remedy: "journalctl -u carbonio-openldap | grep -i syncrepl     # on the server that is behind",
			Source: "HA25-chk: zmreplchk; CCU replchk.pl; RFC 4533",
			Needs:  []string{reachableID}, Looks: []string{kindServers}, Components: clients,
		},
		{
			ID:     entriesID,
			Title:  "All servers hold the same number of entries",
			Why:    "Servers can agree on the last change and still differ in what they hold: after a server ID that was given twice, or a copy that was cut short. Nothing repairs that by itself.",
			Manual: "ldapsearch -x -ZZ -LLL -H ldap://svc1.example.com -D cn=config -W -b cn=Databases,cn=Monitor '(namingContexts=)' olmMDBEntries     # on each server",
			Remedy: "find the server that lacks entries, and load it again from one that has them:\nsu - zextras -c 'slapcat -F /opt/zextras/data/ldap/config -b \"\" -l /tmp/ldap.ldif'",
			Source: "policy; OpenLDAP slapd-mdb: olmMDBEntries",
			Looks:  []string{kindServers}, Components: masters,
		},
		{
			ID:     monitorID,
			Title:  "Every replication link is up",
			Why:    "Where nobody writes, a link that is down looks like one that is idle: the next change stays behind.",
			Manual: "ldapsearch -x -ZZ -LLL -H ldap://svc1.example.com -D cn=config -W -b cn=Databases,cn=Monitor '(objectClass=olmSyncReplInstance)'",
			Remedy: "journalctl -u carbonio-openldap | grep -i syncrepl     # on the server whose link is down: wrong password, certificate, or network",
			Source: "OpenLDAP slapd-monitor: olmSyncReplInstance",
			Needs:  []string{reachableID}, Looks: []string{kindServers}, Components: masters,
		},
		{
			ID:     toolsID,
			Title:  "Carbonio's own tools find the directory in sync",
			Why:    "They read the local configuration that Carbonio itself uses, so they see when that names the wrong servers. Their exit status says nothing: it is 0 out of sync as well.",
			Manual: "su - zextras -c /opt/zextras/libexec/zmreplchk\nsu - zextras -c '/opt/zextras/libexec/zmldapmmrtool -q'",
			Remedy: "su - zextras -c 'zmlocalconfig ldap_master_url ldap_url'     # must name every master, its own first",
			Source: "HA25-chk; CCU replchk.pl, ldapmmrtool.pl",
			Looks:  []string{kindTools}, Components: []platform.Component{platform.Directory},
		},
		{
			ID:     canaryID,
			Title:  "What is written on one master arrives on every server",
			Why:    "It is the only proof that replication works now, and it tells how long a change takes.",
			Manual: "ldapadd -x -ZZ -H ldap://svc1.example.com -D cn=config -W <<EOF\ndn: cn=canary,cn=zimbra\nobjectClass: organizationalRole\ncn: canary\nEOF\nldapsearch -x -ZZ -H ldap://svc2.example.com -D cn=config -W -s base -b cn=canary,cn=zimbra\nldapdelete -x -ZZ -H ldap://svc1.example.com -D cn=config -W cn=canary,cn=zimbra",
			Remedy: "journalctl -u carbonio-openldap | grep -i syncrepl     # on the server that did not get it",
			Source: "policy; role-ds-replica: a test account is replicated",
			Needs:  []string{reachableID}, Looks: []string{kindServers, kindCanary}, Components: clients,
		},
		{
			ID:     toleranceID,
			Title:  "The directory can lose another server",
			Why:    "Clients go to the first server that answers, so one must live; only a master takes changes.",
			Manual: "for h in svc1 svc2; do ldapsearch -x -ZZ -LLL -H ldap://$h.example.com -s base -b '' contextCSN; done",
			Remedy: "bring the servers back that do not answer: systemctl restart carbonio-directory-server.target",
			Source: "SEED-HA; HAA haproxy.cfg: the second master is the backup of the first",
			Looks:  []string{kindServers}, Components: clients,
		},
	}
	for i := range all {
		all[i].Phases = installed
	}
	return all
}

// A plan is what a look has to know: who the servers are, and how to log in.
type plan struct {
	Seats []seat         `json:"seats"`
	Login platform.Login `json:"login,omitzero"`
	// Installed says that this node is a directory server itself, and knows the
	// login of cn=config.
	Installed bool `json:"installed,omitempty"`
}

// A seat is one directory server.
type seat struct {
	Node    string `json:"node"`
	Address string `json:"address"` // of the node: "10.0.0.7"
	Replica bool   `json:"replica,omitempty"`
}

func (s seat) at(port string) string { return net.JoinHostPort(s.Address, port) }

// seats are the directory servers of the platform: the masters first.
func seats(t platform.Topology) []seat {
	var out []seat
	for _, n := range t.With(platform.Directory, platform.Replica) {
		s := seat{Node: n.Name, Address: n.Name, Replica: !n.Has(platform.Directory)}
		if n.Address.IsValid() {
			s.Address = n.Address.String()
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b seat) int {
		switch {
		case a.Replica == b.Replica:
			return 0
		case b.Replica:
			return -1
		}
		return 1
	})
	return out
}

// Targets is all servers together, for only side by side they can be compared;
// Carbonio's own tools on a directory node; and the canary, when it is asked for.
func (Module) Targets(scope checks.Scope, _ checks.Host) ([]checks.Target, error) {
	p := plan{Seats: seats(scope.Topology), Login: scope.Logins.Directory}
	if len(p.Seats) == 0 {
		return nil, nil
	}
	self := scope.Node(scope.Self().Node)
	p.Installed = scope.Self().Phase == checks.Health && self.Has(platform.Directory, platform.Replica)
	args, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	servers := checks.Target{Kind: kindServers, Name: cluster, Args: []string{string(args)}}
	if p.Installed && p.Login.User == "" {
		servers.Timeout = installedTimeout
	}
	out := []checks.Target{servers}
	if p.Installed && self.Has(platform.Directory) {
		out = append(out, checks.Target{Kind: kindTools, Name: self.Name, Node: self.Name, Timeout: toolsTimeout})
	}
	if scope.Canary {
		canary := servers
		canary.Kind, canary.Timeout, canary.Grace = kindCanary, canaryTimeout, canaryGrace
		out = append(out, canary)
	}
	return out, nil
}

// same says whether a host, as an LDAP URL names it, is the server.
func (s seat) same(host string) bool {
	return strings.EqualFold(strings.TrimSuffix(host, "."), s.Node) || host == s.Address
}
