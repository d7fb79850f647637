// Package platform says what a Carbonio platform is: its components, the ports
// they listen on, who must reach whom, what each release needs, and how an
// Ansible inventory describes one. It is data and pure functions: no I/O but
// reading an inventory file.
package platform

// Component is a part of Carbonio, named by its group in the Ansible inventory.
type Component string

// The groups that the Carbonio playbooks know.
const (
	Database    Component = "postgresServers"
	Directory   Component = "masterDirectoryServers"
	Replica     Component = "replicaDirectoryServers"
	Mesh        Component = "serviceDiscoverServers"
	DBConnector Component = "dbsConnectorServers"
	MTA         Component = "mtaServers"
	Proxy       Component = "proxyServers"
	Mailstore   Component = "applicationServers"
	Files       Component = "filesServers"
	Docs        Component = "docsServers"
	Tasks       Component = "taskServers"
	Preview     Component = "previewServers"
	Video       Component = "videoServers"
	Chats       Component = "workStreamServers"
	Monitoring  Component = "prometheusServers"
	Syslog      Component = "syslogServer"
	Kafka       Component = "kafka"
	ZooKeeper   Component = "zookeeper_servers"
	Every       Component = "*" // every node of the platform
)

// A ComponentInfo is what is known of a component.
type ComponentInfo struct {
	Component Component
	Name      string   // as the manual calls it
	Packages  []string // any of them installed means that the node holds it
	HA        int      // nodes in the manual's HA table; 1 where it is not redundant
	Quorum    bool     // needs a majority of its nodes, not just one
	Sources   []Source
}

// Components lists every component in the order of the manual's inventory.
var Components = []ComponentInfo{
	{Kafka, "Kafka", nil, 3, true, []Source{HAConfiguration, Cluster.On("server.properties.j2")}},
	{ZooKeeper, "ZooKeeper", nil, 3, true, []Source{HAConfiguration, ClusterZooKeeper.On("zoo.cfg")}},
	{Database, "Database", []string{"carbonio-files-db", "carbonio-mailbox-db"}, 2, false, []Source{HAConfiguration, Installer.On("vars")}},
	{Directory, "Directory Server", []string{"carbonio-directory-server"}, 2, false, []Source{HAConfiguration, Installer.On("vars")}},
	{Replica, "Directory Replica", nil, 0, false, []Source{FullRedundant, Installer.On("vars")}},
	{Mesh, "Mesh Server", []string{"service-discover-server"}, 3, true, []Source{HAInstallation, Installer.On("consul_checks")}},
	{DBConnector, "Database Connector", nil, 2, false, []Source{HAConfiguration, Cluster.On("README")}},
	{MTA, "MTA", []string{"carbonio-mta"}, 2, false, []Source{ScenarioHA, Installer.On("vars")}},
	{Proxy, "Proxy", []string{"carbonio-proxy"}, 2, false, []Source{ScenarioHA, Installer.On("vars")}},
	{Mailstore, "Mailstore & Provisioning", []string{"carbonio-appserver"}, 2, false, []Source{ScenarioHA, Installer.On("vars")}},
	{Files, "Files", []string{"carbonio-files"}, 2, false, []Source{ScenarioHA, Installer.On("vars")}},
	{Docs, "Docs", []string{"carbonio-docs-connector"}, 2, false, []Source{ScenarioHA, Installer.On("vars")}},
	{Tasks, "Tasks", []string{"carbonio-tasks"}, 2, false, []Source{ScenarioHA, Installer.On("vars")}},
	{Preview, "Preview", []string{"carbonio-preview"}, 2, false, []Source{ScenarioHA, Installer.On("vars")}},
	{Video, "Video Server", []string{"carbonio-videoserver-advanced"}, 2, false, []Source{ScenarioHA, Installer.On("vars")}},
	{Chats, "Chats", []string{"carbonio-ws-collaboration"}, 2, false, []Source{HAInstallation, Installer.On("vars")}},
	{Monitoring, "Monitoring", []string{"carbonio-prometheus"}, 1, false, []Source{ScenarioHA, Installer.On("vars")}},
	{Syslog, "Syslog", []string{"carbonio-pflogsumm"}, 1, false, []Source{HAInstallation, Installer.On("vars")}},
}

// Info returns what is known of c, and whether it is a Carbonio component at all.
func (c Component) Info() (ComponentInfo, bool) {
	for _, i := range Components {
		if i.Component == c {
			return i, true
		}
	}
	return ComponentInfo{}, false
}

// Title is the name the manual uses; the group's own name when it is unknown.
func (c Component) Title() string {
	if i, ok := c.Info(); ok {
		return i.Name
	}
	return string(c)
}
