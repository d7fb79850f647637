package platform

// A Source is where a requirement is written.
type Source struct {
	Title   string
	Address string // of a page, or of a folder of source code
	Detail  string // which part of it, or what it says
}

// On names the part of a source.
func (s Source) On(detail string) Source {
	s.Detail = detail
	return s
}

// String is the title and the part.
func (s Source) String() string {
	if s.Detail == "" {
		return s.Title
	}
	return s.Title + ": " + s.Detail
}

const (
	manual  = "https://docs.zextras.com/carbonio/html/"
	zextras = "https://github.com/zextras/"
)

// The sources. A test holds that each is used.
var (
	// Policy is the source of a value that no other one states: ours.
	Policy = Source{Title: "carbonio-check's own default, which the configuration overrides", Address: "docs/configuration.md"}

	ScenarioHA       = Source{Title: "Carbonio manual, Scenario HA (2025)", Address: manual + "install/scenarios/scenario-ha.html"}
	Requirements25   = Source{Title: "Carbonio manual, Requirements (May 2025)", Address: manual + "install/requirements.html"}
	Requirements     = Source{Title: "Carbonio manual, Requirements (26.6)", Address: manual + "install/requirements.html"}
	Preliminaries    = Source{Title: "Carbonio manual, Preliminaries", Address: manual + "install/preliminary.html"}
	HAInstallation   = Source{Title: "Carbonio manual, Scenario HA, standard installation", Address: manual + "install/scenarios/ha/standard-installation.html"}
	HAConfiguration  = Source{Title: "Carbonio manual, Scenario HA, configuration", Address: manual + "install/scenarios/ha/ha-configuration.html"}
	HAStatus         = Source{Title: "Carbonio manual, Scenario HA, status checks", Address: manual + "install/scenarios/ha/checks-status.html"}
	HAObjectStorage  = Source{Title: "Carbonio manual, Scenario HA, object storage", Address: manual + "install/scenarios/ha/object-storage.html"}
	Redundant        = Source{Title: "Carbonio manual, Scenario Redundant with User Mail Replica (2026)", Address: manual + "install/scenarios/scenario-redundantwithusermailreplica.html"}
	RedundantInstall = Source{Title: "Carbonio manual, Scenario Redundant with User Mail Replica, installation", Address: manual + "install/scenarios/redundantwithusermailreplica/ur-installation.html"}
	RedundantStatus  = Source{Title: "Carbonio manual, Scenario Redundant with User Mail Replica, status checks", Address: manual + "install/scenarios/redundantwithusermailreplica/checks-status.html"}
	IPv6Page         = Source{Title: "Carbonio manual, IPv6 in /etc/hosts (2025)", Address: zextras + "tech-doc/blob/72c1cbf79106a0d964958a53c2b55dd7e05d1241/source/_includes/_installation/ipv6.rst"}
	FullRedundant    = Source{Title: "Carbonio manual, Scenario Full Redundant (2025)", Address: manual + "install/scenarios/scenario-fullredundant.html"}
	AnsibleSetup     = Source{Title: "Carbonio manual, Prepare the Ansible environment (26.6)", Address: manual + "install/ansible.html"}
	SingleServer     = Source{Title: "Carbonio manual, Scenario Single Server (2024)", Address: manual + "install/scenarios/scenario-single.html"}
	MultiServer      = Source{Title: "Carbonio manual, Multi-server installation (2023)", Address: manual + "install/multi-server-installation.html"}
	DirectoryReplica = Source{Title: "Carbonio manual, Directory replica", Address: manual + "install/roles/role-ds-replica.html"}
	License          = Source{Title: "Carbonio manual, Activate the license", Address: manual + "install/post-install/license.html"}
	ActiveReplica    = Source{Title: "Carbonio manual, Active Replica (2025)", Address: manual + "admincli/activereplica.html"}
	CoreModule       = Source{Title: "Carbonio manual, Core module", Address: manual + "admincli/carboniocore.html"}
	Storages         = Source{Title: "Carbonio manual, Storages", Address: manual + "admincli/storages.html"}
	S3Benchmark      = Source{Title: "Carbonio manual, S3 benchmark", Address: manual + "admincli/administration/s3bench.html"}
	MonitoringPage   = Source{Title: "Carbonio manual, Ports and paths useful for monitoring", Address: manual + "monitor/ext_mon.html"}
	Troubleshooting  = Source{Title: "Carbonio manual, Troubleshooting (2025)", Address: manual + "troubleshooting/toc.html"}
	PendingSetups    = Source{Title: "Carbonio manual, Advanced administration: pending-setups", Address: manual + "admincli/advancedadmin.html"}
	Changelog        = Source{Title: "Carbonio release notes", Address: manual + "upgrade/changelogs.html"}

	Installer        = Source{Title: "Carbonio's installer for Ansible (26.3.1)", Address: zextras + "carbonio-install-ansible"}
	InstallerDevel   = Source{Title: "Carbonio's installer for Ansible (26.6, devel)", Address: zextras + "carbonio-install-ansible/tree/devel"}
	Cluster          = Source{Title: "Carbonio's HA setup for Ansible", Address: zextras + "sps-carbonio-ha-ansible-setup"}
	ClusterZooKeeper = Source{Title: "Carbonio's HA setup for Ansible, with ZooKeeper", Address: zextras + "sps-carbonio-ha-ansible-setup/tree/72dac676"}
	ServiceDiscover  = Source{Title: "service-discover, the source of the mesh", Address: zextras + "service-discover"}
	CarbonioCore     = Source{Title: "carbonio-core, its packages", Address: zextras + "carbonio-core"}
	Bootstrap        = Source{Title: "carbonio-bootstrap", Address: zextras + "carbonio-core/blob/devel/src/libexec/setup.pl"}
	CoreUtils        = Source{Title: "carbonio-core-utils, Carbonio's own tools", Address: zextras + "carbonio-core-utils"}

	Patroni       = Source{Title: "Patroni documentation", Address: "https://patroni.readthedocs.io/en/latest/rest_api.html"}
	Consul        = Source{Title: "Consul documentation, HTTP API", Address: "https://developer.hashicorp.com/consul/api-docs"}
	KafkaDocs     = Source{Title: "Kafka documentation, operations", Address: "https://kafka.apache.org/documentation/#operations"}
	ZooKeeperDocs = Source{Title: "ZooKeeper Administrator's Guide", Address: "https://zookeeper.apache.org/doc/r3.8.4/zookeeperAdmin.html"}
	OpenLDAP      = Source{Title: "OpenLDAP Administrator's Guide", Address: "https://www.openldap.org/doc/admin26/"}
	AmazonS3      = Source{Title: "Amazon S3 API reference", Address: "https://docs.aws.amazon.com/AmazonS3/latest/API/"}
	ManPages      = Source{Title: "Linux man pages", Address: "https://man7.org/linux/man-pages/"}
	RFC2181       = Source{Title: "RFC 2181, Clarifications to the DNS", Address: "https://www.rfc-editor.org/rfc/rfc2181"}
	RFC4533       = Source{Title: "RFC 4533, LDAP content synchronization", Address: "https://www.rfc-editor.org/rfc/rfc4533"}
	RFC5905       = Source{Title: "RFC 5905, NTP version 4", Address: "https://www.rfc-editor.org/rfc/rfc5905"}
	RFC7208       = Source{Title: "RFC 7208, SPF", Address: "https://www.rfc-editor.org/rfc/rfc7208"}
	RFC7489       = Source{Title: "RFC 7489, DMARC", Address: "https://www.rfc-editor.org/rfc/rfc7489"}
)
