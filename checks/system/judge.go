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

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	v := view{scope, seen}
	return slices.Concat(
		each(v, baseLook, distribution, one(judgeOS)),
		v.judgeSameOS(),
		each(v, baseLook, release, judgeRelease),
		v.judgeReleases(),
		each(v, baseLook, architecture, one(judgeArchitecture)),
		each(v, baseLook, minimized, one(judgeMinimized)),
		each(v, userLook, account, one(judgeUser)),
		each(v, toolLook, tools, judgeTools),
		each(v, localeLook, language, one(judgeLocale)),
		each(v, hostnameLook, ownName, one(judgeHostname)),
		each(v, selinuxLook, enforcement, one(judgeSELinux)),
		v.judgeConflicts(),
		each(v, socketLook, freePorts, judgePorts),
		each(v, cpuLook, cpus, one(judgeCPU)),
		each(v, memoryLook, memory, one(judgeMemory)),
		each(v, repositoryLook, channels, one(judgeRepositories)),
	), nil
}

// A view is all that was seen, and of what.
type view struct {
	scope checks.Scope
	seen  checks.Record
}

// A sight is one side of a node.
type sight[T any] struct {
	checks.Sight[checks.Nothing, T]
	scope checks.Scope
	node  checks.Vantage
	saw   T
}

// on is a command for the node.
func (s sight[T]) on(command string) string { return "# on " + s.Vantage + "\n" + command }

// whole says whether all of it was seen.
func (s sight[T]) whole() bool { return s.Unseen() == checks.Unseen{} }

// each judges what was seen of every node; where nothing was, it says why.
func each[T any](v view, from *look[T], c *checks.Check, judge func(sight[T]) []checks.Finding) []checks.Finding {
	var out []checks.Finding
	for s := range from.In(v.seen) {
		saw, got := s.Got()
		node := v.scope.Vantage(s.Vantage)
		only, limited := systems[c]
		switch {
		case limited && node.OS.ID == "":
			out = append(out, c.Unknown(s, s.Vantage, "the operating system is not known"))
		case limited && !only.is(node.OS):
			out = append(out, c.Skip(s, s.Vantage, only.skip))
		case !got:
			out = append(out, c.Unseen(s, s.Vantage))
		default:
			out = append(out, judge(sight[T]{s, v.scope, node, saw})...)
		}
	}
	return out
}

// A family is systems that a check is for, and why it is skipped on others.
type family struct {
	is   func(checks.OS) bool
	skip string
}

// systems are those of the checks that are not for all.
var systems = map[*checks.Check]family{
	minimized:   {func(os checks.OS) bool { return os.ID == "ubuntu" }, "only Ubuntu comes minimized"},
	enforcement: {isRHEL, "SELinux is checked on RHEL only"},
	channels:    {isRHEL, "only RHEL has these repositories"},
}

func isRHEL(os checks.OS) bool { return os.Family() == "rhel" }

// one makes a judgement of a function with a single finding.
func one[T any](judge func(sight[T]) checks.Finding) func(sight[T]) []checks.Finding {
	return func(s sight[T]) []checks.Finding { return []checks.Finding{judge(s)} }
}

// The operating system.

// supported lists the systems of a release by their ID and version, those of
// RHEL by the major one.
func supported(r platform.Release) (ubuntu, rhel []string) {
	if r.Before(platform.R25_6) {
		return []string{"20.04", "22.04"}, []string{"8"}
	}
	return []string{"22.04", "24.04"}, []string{"8", "9"}
}

func judgeOS(s sight[base]) checks.Finding {
	os := s.node.OS
	if os.ID == "" {
		return distribution.Unknown(s, s.Vantage, "/etc/os-release could not be read")
	}
	ubuntu, rhel := supported(s.node.Release)
	want := fmt.Sprintf("Ubuntu Server %s, or RHEL %s", strings.Join(ubuntu, " or "), strings.Join(rhel, " or "))
	known := slices.Contains(rhel, major(os))
	switch {
	case os.ID == "ubuntu" && slices.Contains(ubuntu, os.Version), os.ID == "rhel" && known:
		return distribution.Pass(s, s.Vantage, "%s is supported by Carbonio %s", name(os), s.node.Release)
	case os.ID == "rhel" && major(os) == "9":
		return distribution.Warn(s, s.Vantage, "Carbonio %s supports RHEL 9 only as a beta", s.node.Release).Saw(name(os)).Wanted(want)
	case os.Family() == "rhel" && os.ID != "rhel" && known:
		return distribution.Warn(s, s.Vantage, "%s is not listed as supported, though the playbooks handle it", name(os)).Saw(name(os)).Wanted(want)
	}
	return distribution.Fail(s, s.Vantage, "%s is not supported by Carbonio %s", name(os), s.node.Release).Saw(name(os)).Wanted(want).
		Fix("# reinstall " + s.Vantage + " with " + want)
}

func name(os checks.OS) string { return cmp.Or(os.Pretty, strings.TrimSpace(os.ID+" "+os.Version)) }

// major is "9" of "9.4": minor versions of RHEL are one system.
func major(os checks.OS) string {
	v, _, _ := strings.Cut(os.Version, ".")
	return v
}

func judgeArchitecture(s sight[base]) checks.Finding {
	switch s.saw.Architecture {
	case "":
		return architecture.Unknown(s, s.Vantage, "the architecture could not be seen")
	case "amd64":
		return architecture.Pass(s, s.Vantage, "the machine is x86_64")
	}
	return architecture.Fail(s, s.Vantage, "Carbonio has no packages for %s", s.saw.Architecture).Saw(s.saw.Architecture).Wanted("amd64")
}

func judgeMinimized(s sight[base]) checks.Finding {
	switch {
	case s.saw.MinimizedUnseen != nil:
		return minimized.Unknown(s, s.Vantage, "could not be seen: %s", s.saw.MinimizedUnseen)
	case s.saw.Minimized:
		return minimized.Fail(s, s.Vantage, "this is a minimized Ubuntu").
			Saw("/etc/update-motd.d/60-unminimize exists").Wanted("Ubuntu Server")
	}
	return minimized.Pass(s, s.Vantage, "Ubuntu Server is not minimized")
}

func judgeUser(s sight[user]) checks.Finding {
	if u := s.saw; u.Name != "" {
		return account.Fail(s, s.Vantage, "the user zextras already exists").
			Saw(fmt.Sprintf("user %s, uid %s, home %s", u.Name, u.UID, u.Home)).Wanted("no such user in /etc/passwd").
			Fix(s.on("userdel zextras     # or, if somebody uses it: usermod -l zextras-old zextras"))
	}
	return account.Pass(s, s.Vantage, "no user zextras exists")
}

// The tools.

func judgeTools(s sight[[]tool]) []checks.Finding {
	var out []checks.Finding
	for _, t := range s.saw {
		if t.Name == "netcat" {
			out = append(out, judgeNetcat(s, t)...)
		} else {
			out = append(out, judgeTool(s, t))
		}
	}
	return out
}

func judgeTool(s sight[[]tool], t tool) checks.Finding {
	switch {
	case t.Path == "" && t.unseen():
		return tools.Unknown(s, t.Name, "could not look for %s: %s", t.Name, t.Unseen)
	case t.Path == "":
		return tools.Fail(s, t.Name, "%s is not installed", t.Name).Fix(s.on(install(s.node.OS, t.Name)))
	case t.Name != "python3":
		return tools.Pass(s, t.Name, "%s is installed", t.Name)
	case t.Version == "":
		return tools.Unknown(s, t.Name, "the version of %s could not be seen: %s", t.Path, cmp.Or(t.Unseen.String(), "it prints none"))
	case beforePython37(t.Version):
		return tools.Warn(s, t.Name, "Python %s is too old for ansible-core 2.17 and newer", t.Version).
			Saw(t.Path + " " + t.Version).Wanted("3.7 or newer, or ansible-core 2.15.13 to 2.16 on the control node").
			Fix("# on the control node\npip install 'ansible-core>=2.15.13,<2.17'")
	}
	return tools.Pass(s, t.Name, "Python %s is installed", t.Version)
}

// beforePython37: modules of ansible-core 2.17 need Python 3.7 where they run.
func beforePython37(version string) bool {
	minor, ok := strings.CutPrefix(version, "3.")
	minor, _, _ = strings.Cut(minor, ".")
	n, err := strconv.Atoi(minor)
	return ok && err == nil && n < 7
}

// judgeNetcat: service-discover calls netcat, which on RHEL may come without
// the library it needs.
func judgeNetcat(s sight[[]tool], t tool) []checks.Finding {
	switch {
	case s.node.Phase != checks.Health || s.node.OS.Family() != "rhel" || t.Path == "":
		return nil
	case len(t.Missing) > 0:
		return []checks.Finding{tools.Fail(s, t.Name, "%s does not start: %s is missing", t.Path, strings.Join(t.Missing, ", ")).
			Fix(s.on("dnf install -y libbsd"))}
	case t.unseen():
		return []checks.Finding{tools.Unknown(s, t.Name, "whether %s starts could not be seen: %s", t.Path, t.Unseen)}
	}
	return []checks.Finding{tools.Pass(s, t.Name, "netcat has the libraries it needs")}
}

func install(os checks.OS, packages ...string) string {
	if os.Family() == "rhel" {
		return "dnf install -y " + strings.Join(packages, " ")
	}
	return "apt-get install -y " + strings.Join(packages, " ")
}

// The locale.

func judgeLocale(s sight[locale]) checks.Finding {
	os, l := s.node.OS, s.saw
	fix := "locale-gen en_US.UTF-8\nupdate-locale LANG=en_US.UTF-8"
	if os.Family() == "rhel" {
		fix = "dnf install -y glibc-langpack-en\nlocalectl set-locale LANG=en_US.utf8"
	}
	wrong := func(format string, args ...any) checks.Finding {
		return language.Fail(s, s.Vantage, format, args...).Wanted("LANG=en_US.UTF-8").Fix(s.on(fix))
	}
	file, ok := systemLocale(l.Files, os)
	if !ok {
		return wrong("no locale is set for the system").Saw("neither " + localeUbuntu + " nor " + localeRHEL)
	}
	switch lang := file.Vars["LANG"]; {
	case lang == "":
		return wrong("no locale is set for the system").Saw("no LANG in " + file.Path)
	case !isEnglish(lang):
		return wrong("the system locale is not en_US.UTF-8").Saw("LANG=" + lang + " in " + file.Path)
	}
	for _, key := range slices.Sorted(maps.Keys(file.Vars)) {
		if value := file.Vars[key]; strings.HasPrefix(key, "LC_") && value != "" && !isEnglish(value) {
			return wrong("%s overrides the system locale", key).Saw(key + "=" + value + " in " + file.Path).
				Fix(s.unset(key, file.Path))
		}
	}
	switch {
	case !s.whole():
		return language.Unseen(s, s.Vantage)
	case !slices.ContainsFunc(l.Generated, isEnglish):
		return wrong("en_US.UTF-8 is set but not generated").Saw("locale -a does not list en_US.utf8")
	}
	return language.Pass(s, s.Vantage, "the system locale is en_US.UTF-8")
}

// unset takes a variable out of a file; empty, and the catalogue speaks, unless
// both are what they seem.
func (s sight[T]) unset(key, file string) string {
	if strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" || file != localeUbuntu && file != localeRHEL {
		return ""
	}
	return s.on(fmt.Sprintf(`sed -i -E '/^(export )?%s=/d' %s`, key, file))
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

func judgeHostname(s sight[hostname]) checks.Finding {
	node, h := s.Vantage, s.saw
	set, hosts := s.on("hostnamectl set-hostname "+node), s.inHosts()
	if !platform.ValidFQDN(node) {
		set = "" // the catalogue's: there is no better name to offer
	}
	switch {
	case !strings.Contains(h.Kernel, "."):
		return ownName.Fail(s, node, "the hostname %s is not fully qualified", h.Kernel).
			Saw("uname -n: " + h.Kernel).Wanted("a name with its domain, such as mbox1.example.com").Fix(set)
	case !platform.ValidFQDN(h.Kernel):
		return ownName.Fail(s, node, "the hostname %s is not a valid name", h.Kernel).
			Saw("uname -n: " + h.Kernel).Wanted("labels of letters, digits and inner hyphens").Fix(set)
	case !strings.EqualFold(h.Kernel, node):
		return ownName.Fail(s, node, "the hostname is %s, but the node is called %s", h.Kernel, node).
			Saw("uname -n: " + h.Kernel).Wanted(node).Fix(set)
	case h.Refused != "":
		return ownName.Fail(s, node, "hostname -f finds no name").
			Saw(h.Refused).Wanted(node).Fix(hosts)
	case !s.whole():
		return ownName.Unknown(s, node, "the hostname is %s; what hostname -f prints could not be seen: %s", h.Kernel, s.Unseen())
	case !strings.EqualFold(strings.TrimSuffix(h.FQDN, "."), node):
		return ownName.Fail(s, node, "hostname -f prints %q, but the node is called %s", h.FQDN, node).
			Saw("hostname -f: " + h.FQDN).Wanted(node).Fix(hosts)
	}
	return ownName.Pass(s, node, "the hostname is %s", h.Kernel)
}

// inHosts is the node's line in /etc/hosts, of which hostname -f prints the first
// name.
func (s sight[T]) inHosts() string {
	address := "ADDRESS" // of the internal interface: ip -br addr
	if a := s.scope.Node(s.Vantage).Address; a.IsValid() {
		address = a.String()
	}
	short, _, _ := strings.Cut(s.Vantage, ".")
	return fmt.Sprintf("# on %s, in /etc/hosts: the full name first\n%[2]s %[1]s %[3]s", s.Vantage, address, short)
}

const permissive = "sed -i 's/^SELINUX=.*/SELINUX=permissive/' /etc/selinux/config"

func judgeSELinux(s sight[selinux]) checks.Finding {
	switch {
	case s.saw.Now == "enforcing":
		return enforcement.Fail(s, s.Vantage, "SELinux is enforcing").
			Saw("getenforce: Enforcing").Wanted("permissive or disabled").
			Fix(s.on("setenforce 0\n" + permissive))
	case s.saw.Config == "enforcing":
		return enforcement.Warn(s, s.Vantage, "SELinux will be enforcing after the next reboot").
			Saw("SELINUX=enforcing in /etc/selinux/config").Wanted("SELINUX=permissive or disabled").
			Fix(s.on(permissive))
	case s.saw.Now == "" && s.whole():
		return enforcement.Unknown(s, s.Vantage, "getenforce prints no mode")
	}
	return enforcement.Pass(s, s.Vantage, "SELinux is %s", s.saw.Now)
}

// The size.

// tolerance is the share of the memory that the kernel and the firmware may
// keep: RHEL 9 reserves up to 256 MiB for its crash kernel alone.
const tolerance = 0.10

// filesFloor is the memory of a node with Files, in GB.
const filesFloor = 6

const gib = 1 << 30

// profile is the least machine for the node.
func (s sight[T]) profile() platform.Profile {
	return platform.ProfileFor(checks.Profiles.In(s.scope), s.scope.Node(s.Vantage), s.scope.Topology)
}

func judgeCPU(s sight[int]) checks.Finding {
	profile := s.profile()
	switch {
	case profile.CPUs == 0:
		return cpus.Skip(s, s.Vantage, "policy.profiles has no size for the components of this node")
	case s.saw < profile.CPUs:
		return cpus.Warn(s, s.Vantage, "the node has fewer CPUs than its components need").
			Saw(strconv.Itoa(s.saw)).Wanted(fmt.Sprintf("%d (%s)", profile.CPUs, profile.Name)).
			Fix(fmt.Sprintf("# give %s %d CPUs, or set policy.profiles to what was agreed with Zextras", s.Vantage, profile.CPUs))
	}
	return cpus.Pass(s, s.Vantage, "the node has %d CPUs", s.saw)
}

func judgeMemory(s sight[uint64]) checks.Finding {
	profile := s.profile()
	saw := fmt.Sprintf("%.1f GiB", float64(s.saw)/gib)
	switch {
	case s.scope.Node(s.Vantage).Has(platform.Files) && lacks(s.saw, filesFloor):
		return memory.Fail(s, s.Vantage, "Files needs 4 GB to start, and its node at least %d GB", filesFloor).
			Saw(saw).Wanted(fmt.Sprintf("%d GB at least", filesFloor)).Per(platform.Requirements).
			Fix(fmt.Sprintf("# give %s %g GB of memory", s.Vantage, max(profile.MemoryGB, filesFloor)))
	case profile.MemoryGB == 0:
		return memory.Skip(s, s.Vantage, "policy.profiles has no size for the components of this node")
	case lacks(s.saw, profile.MemoryGB):
		return memory.Warn(s, s.Vantage, "the node has less memory than its components need").
			Saw(saw).Wanted(fmt.Sprintf("%g GB (%s)", profile.MemoryGB, profile.Name)).
			Fix(fmt.Sprintf("# give %s %g GB of memory, or set policy.profiles to what was agreed with Zextras", s.Vantage, profile.MemoryGB))
	}
	return memory.Pass(s, s.Vantage, "the node has %s of memory", saw)
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

func judgeRepositories(s sight[[]string]) checks.Finding {
	if !s.whole() {
		return channels.Unseen(s, s.Vantage)
	}
	ids := s.saw
	var missing, enable []string
	for _, r := range repositories(s.node.OS) {
		if !slices.ContainsFunc(ids, r.matches) {
			missing, enable = append(missing, r.name), append(enable, r.enable)
		}
	}
	if len(missing) > 0 {
		return channels.Fail(s, s.Vantage, "not enabled: %s", strings.Join(missing, ", ")).
			Saw(strings.Join(ids, "\n")).Wanted("BaseOS, AppStream, CodeReady, EPEL").Fix(s.on(strings.Join(enable, "\n")))
	}
	return channels.Pass(s, s.Vantage, "BaseOS, AppStream, CodeReady and EPEL are enabled")
}

// matches leaves out repositories with nearly the same ID that do not replace it,
// such as epel-cisco-openh264.
func (r repository) matches(id string) bool {
	in := func(part string) bool { return strings.Contains(strings.ToLower(id), part) }
	return slices.ContainsFunc(r.parts, in) &&
		!slices.ContainsFunc([]string{"debug", "source", "testing", "cisco", "modular"}, in)
}
