package system

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// everyNode is the target of a verdict on all nodes together.
const everyNode = "all nodes"

// Judge decides, node by node.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	seen = slices.SortedStableFunc(slices.Values(seen), func(a, b checks.Observation) int {
		return cmp.Compare(a.Vantage, b.Vantage)
	})
	return slices.Concat(
		each(scope, seen, kindBase, one(judgeOS)),
		sameOS(scope.Vantages),
		each(scope, seen, kindBase, one(judgeArch)),
		each(scope, seen, kindBase, one(judgeMinimized)),
		each(scope, seen, kindUser, one(judgeUser)),
		each(scope, seen, kindTools, judgeTools),
		each(scope, seen, kindLocale, one(judgeLocale)),
		each(scope, seen, kindHostname, one(judgeHostname)),
		each(scope, seen, kindSELinux, one(judgeSELinux)),
		judgeConflicts(scope, seen),
		each(scope, seen, kindSockets, judgePorts),
		each(scope, seen, kindCPU, one(judgeCPU)),
		each(scope, seen, kindMemory, one(judgeMemory)),
		each(scope, seen, kindRepositories, one(judgeRepositories)),
	)
}

// A judgement is what one observation comes to.
type judgement[T any] func(checks.Scope, checks.Observation, T) []checks.Finding

func each[T any](scope checks.Scope, seen []checks.Observation, kind string, judge judgement[T]) []checks.Finding {
	var out []checks.Finding
	for o, data := range checks.Of[T](seen, kind) {
		out = append(out, judge(scope, o, data)...)
	}
	return out
}

// one makes a judgement of a function with a single finding.
func one[T any](judge func(checks.Scope, checks.Observation, T) checks.Finding) judgement[T] {
	return func(scope checks.Scope, o checks.Observation, data T) []checks.Finding {
		return []checks.Finding{judge(scope, o, data)}
	}
}

// unseen is unknown for the node as a whole.
func unseen(o checks.Observation, check string) checks.Finding {
	return o.Unseen(o.Vantage, check)[0]
}

// strange is unknown for a check that only some systems call for.
func strange(o checks.Observation, check string) checks.Finding {
	return o.Unknown(check, o.Vantage, "the operating system is not known")
}

// The operating system.

// supported lists the systems of a release by their ID and version, those of
// RHEL by the major one (REQ25; REQ26; CL-25.6.0).
func supported(r platform.Release) (ubuntu, rhel []string) {
	if r.Before(platform.R25_6) {
		return []string{"20.04", "22.04"}, []string{"8"}
	}
	return []string{"22.04", "24.04"}, []string{"8", "9"}
}

func judgeOS(scope checks.Scope, o checks.Observation, _ base) checks.Finding {
	os := scope.Vantage(o.Vantage).OS
	if os.ID == "" {
		return o.Unknown(checkOS, o.Vantage, "/etc/os-release could not be read")
	}
	ubuntu, rhel := supported(scope.Release)
	want := fmt.Sprintf("Ubuntu Server %s, or RHEL %s", strings.Join(ubuntu, " or "), strings.Join(rhel, " or "))
	known := slices.Contains(rhel, major(os))
	switch {
	case os.ID == "ubuntu" && slices.Contains(ubuntu, os.Version), os.ID == "rhel" && known:
		return o.Pass(checkOS, o.Vantage, "%s is supported by Carbonio %s", name(os), scope.Release)
	case os.ID == "rhel" && major(os) == "9":
		return o.Warn(checkOS, o.Vantage, "Carbonio %s supports RHEL 9 as a beta only", scope.Release).Saw(name(os)).Wanted(want)
	case os.Family() == "rhel" && os.ID != "rhel" && known:
		return o.Warn(checkOS, o.Vantage, "%s is not listed as supported, though the playbooks handle it", name(os)).Saw(name(os)).Wanted(want)
	}
	return o.Fail(checkOS, o.Vantage, "%s is not supported by Carbonio %s", name(os), scope.Release).Saw(name(os)).Wanted(want)
}

func name(os checks.OS) string { return cmp.Or(os.Pretty, strings.TrimSpace(os.ID+" "+os.Version)) }

// major is "9" of "9.4": minor versions of RHEL are one system.
func major(os checks.OS) string {
	v, _, _ := strings.Cut(os.Version, ".")
	return v
}

// sameOS compares the nodes that looked.
func sameOS(vantages []checks.Vantage) []checks.Finding {
	nodes := map[string][]string{}
	var blind []string
	for _, v := range vantages {
		if v.OS.ID == "" {
			blind = append(blind, v.Node)
			continue
		}
		nodes[short(v.OS)] = append(nodes[short(v.OS)], v.Node)
	}
	systems := slices.SortedFunc(maps.Keys(nodes), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(nodes[b]), len(nodes[a])), cmp.Compare(a, b))
	})
	var platformWide checks.Observation
	switch {
	case len(vantages) < 2:
		return nil
	case len(systems) < 2 && len(blind) > 0:
		return []checks.Finding{platformWide.Unknown(checkOS, everyNode, "the system of %s could not be seen", strings.Join(blind, ", "))}
	case len(systems) == 1:
		return []checks.Finding{platformWide.Pass(checkOS, everyNode, "all nodes that looked run %s", systems[0])}
	}
	var others, saw []string
	for _, s := range systems {
		saw = append(saw, s+": "+strings.Join(nodes[s], ", "))
	}
	for _, s := range systems[1:] {
		others = append(others, fmt.Sprintf("%s (%s)", strings.Join(nodes[s], ", "), s))
	}
	return []checks.Finding{
		platformWide.Warn(checkOS, everyNode, "not all nodes run %s: %s", systems[0], strings.Join(others, "; ")).
			Saw(strings.Join(saw, "\n")).Wanted("one system on every node"),
	}
}

// short is "ubuntu 24.04", or "rhel 9" for every minor version of it.
func short(os checks.OS) string {
	if os.Family() == "rhel" {
		return os.ID + " " + major(os)
	}
	return strings.TrimSpace(os.ID + " " + os.Version)
}

func judgeArch(_ checks.Scope, o checks.Observation, b base) checks.Finding {
	switch b.Architecture {
	case "":
		return o.Unknown(checkArch, o.Vantage, "the architecture could not be seen")
	case "amd64":
		return o.Pass(checkArch, o.Vantage, "the machine is a 64-bit x86")
	}
	return o.Fail(checkArch, o.Vantage, "Carbonio has no packages for %s", b.Architecture).Saw(b.Architecture).Wanted("amd64")
}

func judgeMinimized(scope checks.Scope, o checks.Observation, b base) checks.Finding {
	os := scope.Vantage(o.Vantage).OS
	switch {
	case os.ID == "":
		return strange(o, checkMinimized)
	case os.ID != "ubuntu":
		return o.Skip(checkMinimized, o.Vantage, "only Ubuntu comes minimized")
	case o.Error != "":
		return unseen(o, checkMinimized)
	case b.Minimized:
		return o.Fail(checkMinimized, o.Vantage, "this is a minimized Ubuntu").
			Saw("/etc/update-motd.d/60-unminimize exists").Wanted("Ubuntu Server")
	}
	return o.Pass(checkMinimized, o.Vantage, "Ubuntu Server is not minimized")
}

func judgeUser(_ checks.Scope, o checks.Observation, u user) checks.Finding {
	switch {
	case o.Error != "":
		return unseen(o, checkUser)
	case u.Name != "":
		return o.Fail(checkUser, o.Vantage, "a user zextras exists already").
			Saw(fmt.Sprintf("user %s, uid %s, home %s", u.Name, u.UID, u.Home)).Wanted("no such user in /etc/passwd")
	}
	return o.Pass(checkUser, o.Vantage, "there is no user zextras")
}

// The tools.

func judgeTools(scope checks.Scope, o checks.Observation, tools []tool) []checks.Finding {
	var out []checks.Finding
	for _, t := range tools {
		if t.Name == "netcat" {
			out = append(out, judgeNetcat(scope.Vantage(o.Vantage), o, t)...)
			continue
		}
		out = append(out, judgeTool(scope.Vantage(o.Vantage), o, t))
	}
	if o.Error != "" {
		out = append(out, unseen(o, checkTools))
	}
	return out
}

func judgeTool(v checks.Vantage, o checks.Observation, t tool) checks.Finding {
	switch {
	case t.Path == "" && t.Error != "":
		return o.Unknown(checkTools, t.Name, "could not look for %s: %s", t.Name, t.Error)
	case t.Path == "":
		return o.Fail(checkTools, t.Name, "%s is not installed", t.Name).Fix(install(v.OS, t.Name))
	case t.Name != "python3":
		return o.Pass(checkTools, t.Name, "%s is installed", t.Name)
	case t.Version == "":
		return o.Unknown(checkTools, t.Name, "the version of %s could not be seen: %s", t.Path, cmp.Or(t.Error, "it prints none"))
	case beforePython37(t.Version):
		return o.Warn(checkTools, t.Name, "Python %s is too old for ansible-core 2.17 and newer", t.Version).
			Saw(t.Path + " " + t.Version).Wanted("3.7 or newer, or ansible-core 2.15.13 to 2.16 on the control node").
			Fix("on the control node: pip install 'ansible-core>=2.15.13,<2.17'")
	}
	return o.Pass(checkTools, t.Name, "Python %s is installed", t.Version)
}

// beforePython37: modules of ansible-core 2.17 need Python 3.7 where they run.
func beforePython37(version string) bool {
	minor, ok := strings.CutPrefix(version, "3.")
	minor, _, _ = strings.Cut(minor, ".")
	n, err := strconv.Atoi(minor)
	return ok && err == nil && n < 7
}

// judgeNetcat: service-discover calls netcat, which on RHEL may come without
// the library it needs (ZTD-670).
func judgeNetcat(v checks.Vantage, o checks.Observation, t tool) []checks.Finding {
	switch {
	case v.Phase != checks.Health || v.OS.Family() != "rhel" || t.Path == "":
		return nil
	case len(t.Missing) > 0:
		return []checks.Finding{o.Fail(checkTools, t.Name, "%s does not start: %s is missing", t.Path, strings.Join(t.Missing, ", ")).
			Fix("dnf install -y libbsd")}
	case t.Error != "":
		return []checks.Finding{o.Unknown(checkTools, t.Name, "whether %s starts could not be seen: %s", t.Path, t.Error)}
	}
	return []checks.Finding{o.Pass(checkTools, t.Name, "netcat has the libraries it needs")}
}

func install(os checks.OS, packages ...string) string {
	if os.Family() == "rhel" {
		return "dnf install -y " + strings.Join(packages, " ")
	}
	return "apt-get install -y " + strings.Join(packages, " ")
}

// The locale.

func judgeLocale(scope checks.Scope, o checks.Observation, l locale) checks.Finding {
	os := scope.Vantage(o.Vantage).OS
	if o.Error != "" && len(l.Files) == 0 {
		return unseen(o, checkLocale)
	}
	fix := "locale-gen en_US.UTF-8\nupdate-locale LANG=en_US.UTF-8"
	if os.Family() == "rhel" {
		fix = "dnf install -y glibc-langpack-en\nlocalectl set-locale LANG=en_US.utf8"
	}
	wrong := func(format string, args ...any) checks.Finding {
		return o.Fail(checkLocale, o.Vantage, format, args...).Wanted("LANG=en_US.UTF-8").Fix(fix)
	}
	file, ok := systemLocale(l.Files, os)
	if !ok {
		return wrong("no locale is set for the system").Saw("neither " + localeUbuntu + " nor " + localeRHEL)
	}
	switch lang := file.Vars["LANG"]; {
	case lang == "":
		return wrong("no locale is set for the system").Saw("no LANG in " + file.Path)
	case !isEnglish(lang):
		return wrong("the system's locale is not en_US.UTF-8").Saw("LANG=" + lang + " in " + file.Path)
	}
	for _, key := range slices.Sorted(maps.Keys(file.Vars)) {
		if value := file.Vars[key]; strings.HasPrefix(key, "LC_") && value != "" && !isEnglish(value) {
			return wrong("%s overrides the system's locale", key).Saw(key + "=" + value + " in " + file.Path).
				Fix("edit " + file.Path + ": take out " + key)
		}
	}
	switch {
	case o.Error != "":
		return unseen(o, checkLocale)
	case !slices.ContainsFunc(l.Generated, isEnglish):
		return wrong("en_US.UTF-8 is set but not generated").Saw("locale -a does not list en_US.utf8")
	}
	return o.Pass(checkLocale, o.Vantage, "the system's locale is en_US.UTF-8")
}

// systemLocale is the file that the distribution reads; either may be a link to the other.
func systemLocale(files []localeFile, os checks.OS) (localeFile, bool) {
	own := localeUbuntu
	if os.Family() == "rhel" {
		own = localeRHEL
	}
	for _, f := range files {
		if f.Path == own {
			return f, true
		}
	}
	if len(files) == 0 {
		return localeFile{}, false
	}
	return files[0], true
}

// isEnglish accepts every spelling of the codeset that glibc takes: UTF-8, utf8.
func isEnglish(value string) bool {
	language, codeset, _ := strings.Cut(value, ".")
	return language == "en_US" && strings.ToLower(strings.ReplaceAll(codeset, "-", "")) == "utf8"
}

// The hostname.

func judgeHostname(_ checks.Scope, o checks.Observation, h hostname) checks.Finding {
	node := o.Vantage
	set := "hostnamectl set-hostname " + node
	if !platform.ValidFQDN(node) {
		set = "" // the catalogue's: there is no better name to offer
	}
	switch {
	case h.Kernel == "":
		return unseen(o, checkHostname)
	case !strings.Contains(h.Kernel, "."):
		return o.Fail(checkHostname, node, "the hostname %s is not fully qualified", h.Kernel).
			Saw("uname -n: " + h.Kernel).Wanted("a name with its domain, such as mbox1.example.com").Fix(set)
	case !platform.ValidFQDN(h.Kernel):
		return o.Fail(checkHostname, node, "the hostname %s is not a valid name", h.Kernel).
			Saw("uname -n: " + h.Kernel).Wanted("labels of letters, digits and inner hyphens").Fix(set)
	case !strings.EqualFold(h.Kernel, node):
		return o.Fail(checkHostname, node, "the hostname is %s, and the node is called %s", h.Kernel, node).
			Saw("uname -n: " + h.Kernel).Wanted(node).Fix(set)
	case h.Refused != "":
		return o.Fail(checkHostname, node, "hostname -f finds no name").
			Saw(h.Refused).Wanted(node).Fix(inHosts(node))
	case o.Error != "":
		return o.Unknown(checkHostname, node, "the hostname is %s, and what hostname -f prints could not be seen: %s", h.Kernel, o.Error)
	case !strings.EqualFold(strings.TrimSuffix(h.FQDN, "."), node):
		return o.Fail(checkHostname, node, "hostname -f prints %q, and the node is called %s", h.FQDN, node).
			Saw("hostname -f: " + h.FQDN).Wanted(node).Fix(inHosts(node))
	}
	return o.Pass(checkHostname, node, "the hostname is %s", h.Kernel)
}

// inHosts: hostname -f prints the first name of the node's line.
func inHosts(node string) string {
	short, _, _ := strings.Cut(node, ".")
	return fmt.Sprintf("in /etc/hosts, the full name first: ADDRESS %s %s", node, short)
}

func judgeSELinux(scope checks.Scope, o checks.Observation, s selinux) checks.Finding {
	os := scope.Vantage(o.Vantage).OS
	switch {
	case os.ID == "":
		return strange(o, checkSELinux)
	case os.Family() != "rhel":
		return o.Skip(checkSELinux, o.Vantage, "SELinux is looked at on RHEL only")
	case s.Now == "enforcing":
		return o.Fail(checkSELinux, o.Vantage, "SELinux is enforcing").
			Saw("getenforce: Enforcing").Wanted("permissive or disabled")
	case s.Config == "enforcing":
		return o.Warn(checkSELinux, o.Vantage, "SELinux will be enforcing after the next reboot").
			Saw("SELINUX=enforcing in /etc/selinux/config").Wanted("SELINUX=permissive or disabled").
			Fix("sed -i 's/^SELINUX=.*/SELINUX=permissive/' /etc/selinux/config")
	case o.Error != "" || s.Now == "":
		return unseen(o, checkSELinux)
	}
	return o.Pass(checkSELinux, o.Vantage, "SELinux is %s", s.Now)
}

// The size.

// tolerance is the share of the memory that the kernel and the firmware may
// keep: RHEL 9 reserves up to 256 MiB for its crash kernel alone.
const tolerance = 0.10

// filesFloor is the memory of a node with Files, in GB (REQ26).
const filesFloor = 6

const gib = 1 << 30

func judgeCPU(scope checks.Scope, o checks.Observation, cpus int) checks.Finding {
	profile := scope.Policy.ProfileFor(scope.Node(o.Vantage), scope.Topology)
	switch {
	case o.Error != "":
		return unseen(o, checkCPU)
	case profile.CPUs == 0:
		return o.Skip(checkCPU, o.Vantage, "the policy has no size for the components of this node")
	case cpus < profile.CPUs:
		return o.Warn(checkCPU, o.Vantage, "the node has fewer CPUs than its components want").
			Saw(strconv.Itoa(cpus)).Wanted(fmt.Sprintf("%d (%s)", profile.CPUs, profile.Name)).
			Fix(fmt.Sprintf("give the machine %d CPUs, or set profiles in the configuration to what was agreed", profile.CPUs))
	}
	return o.Pass(checkCPU, o.Vantage, "the node has %d CPUs", cpus)
}

func judgeMemory(scope checks.Scope, o checks.Observation, bytes uint64) checks.Finding {
	node := scope.Node(o.Vantage)
	profile := scope.Policy.ProfileFor(node, scope.Topology)
	saw := fmt.Sprintf("%.1f GiB", float64(bytes)/gib)
	switch {
	case o.Error != "":
		return unseen(o, checkMemory)
	case node.Has(platform.Files) && lacks(bytes, filesFloor):
		return o.Fail(checkMemory, o.Vantage, "Files needs 4 GB to start, and its node at least %d GB", filesFloor).
			Saw(saw).Wanted(fmt.Sprintf("%d GB at least", filesFloor)).From("REQ26").
			Fix(fmt.Sprintf("give the machine %g GB of memory", max(profile.MemoryGB, filesFloor)))
	case profile.MemoryGB == 0:
		return o.Skip(checkMemory, o.Vantage, "the policy has no size for the components of this node")
	case lacks(bytes, profile.MemoryGB):
		return o.Warn(checkMemory, o.Vantage, "the node has less memory than its components want").
			Saw(saw).Wanted(fmt.Sprintf("%g GB (%s)", profile.MemoryGB, profile.Name)).
			Fix(fmt.Sprintf("give the machine %g GB of memory, or set profiles in the configuration to what was agreed", profile.MemoryGB))
	}
	return o.Pass(checkMemory, o.Vantage, "the node has %s of memory", saw)
}

// lacks says whether the memory is less than a machine sold with so many GB shows.
func lacks(bytes uint64, gb float64) bool { return float64(bytes) < gb*gib*(1-tolerance) }

// The repositories of RHEL.

// A repository is known by a part of its ID: rhel-9-for-x86_64-baseos-rpms, or
// rhel-9-baseos-rhui-rpms in a cloud.
type repository struct {
	name, enable string
	parts        []string
}

func repositories(os checks.OS) []repository {
	version := major(os)
	subscribe := "subscription-manager repos --enable "
	codeready := subscribe + "codeready-builder-for-rhel-" + version + "-x86_64-rpms"
	switch {
	case os.ID != "rhel" && version == "8":
		codeready = "dnf config-manager --set-enabled powertools"
	case os.ID != "rhel":
		codeready = "dnf config-manager --set-enabled crb"
	}
	return []repository{
		{"BaseOS", subscribe + "rhel-" + version + "-for-x86_64-baseos-rpms", []string{"baseos"}},
		{"AppStream", subscribe + "rhel-" + version + "-for-x86_64-appstream-rpms", []string{"appstream"}},
		{"CodeReady", codeready, []string{"codeready-builder", "crb", "powertools"}},
		{"EPEL", "dnf install -y https://dl.fedoraproject.org/pub/epel/epel-release-latest-" + version + ".noarch.rpm", []string{"epel"}},
	}
}

func judgeRepositories(scope checks.Scope, o checks.Observation, ids []string) checks.Finding {
	os := scope.Vantage(o.Vantage).OS
	switch {
	case os.ID == "":
		return strange(o, checkRepositories)
	case os.Family() != "rhel":
		return o.Skip(checkRepositories, o.Vantage, "only RHEL has these repositories")
	case o.Error != "":
		return unseen(o, checkRepositories)
	}
	var missing, enable []string
	for _, r := range repositories(os) {
		if !slices.ContainsFunc(ids, r.matches) {
			missing, enable = append(missing, r.name), append(enable, r.enable)
		}
	}
	if len(missing) > 0 {
		return o.Fail(checkRepositories, o.Vantage, "not enabled: %s", strings.Join(missing, ", ")).
			Saw(strings.Join(ids, "\n")).Wanted("BaseOS, AppStream, CodeReady, EPEL").Fix(strings.Join(enable, "\n"))
	}
	return o.Pass(checkRepositories, o.Vantage, "BaseOS, AppStream, CodeReady and EPEL are enabled")
}

// matches: beside each repository stand others of nearly the same ID that do
// not replace it, such as epel-cisco-openh264.
func (r repository) matches(id string) bool {
	in := func(part string) bool { return strings.Contains(strings.ToLower(id), part) }
	return slices.ContainsFunc(r.parts, in) &&
		!slices.ContainsFunc([]string{"debug", "source", "testing", "cisco", "modular"}, in)
}
