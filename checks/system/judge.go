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
func (s sight[T]) on(command string) string { return checks.On(s.Vantage) + command }

// each judges what was seen of every node; where nothing was, it says why.
func each[T any](v view, from *look[T], c *checks.Check, judge func(sight[T]) []checks.Finding) []checks.Finding {
	var out []checks.Finding
	for s := range from.In(v.seen) {
		saw, got := s.Got()
		node := v.scope.Vantage(s.Vantage)
		only, limited := systems[c]
		switch {
		case limited && node.OS.ID == "":
			out = append(out, c.Unknown(s, s.Vantage, "the operating system is unknown"))
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

// pick is what is for Ubuntu, or for RHEL.
func pick(os checks.OS, ubuntu, rhel string) string {
	if isRHEL(os) {
		return rhel
	}
	return ubuntu
}

// one makes a judgement of a function with a single finding.
func one[T any](judge func(sight[T]) checks.Finding) func(sight[T]) []checks.Finding {
	return func(s sight[T]) []checks.Finding { return []checks.Finding{judge(s)} }
}

func judgeUser(s sight[user]) checks.Finding {
	if u := s.saw; u.Name != "" {
		return account.Fail(s, s.Vantage, "the user zextras already exists").
			Saw(fmt.Sprintf("user %s, uid %s, home %s", u.Name, u.UID, u.Home)).Wanted("no such user in /etc/passwd").
			Fix(s.on("userdel zextras     # or, if somebody uses it: usermod -l zextras-old zextras"))
	}
	return account.Pass(s, s.Vantage, "no user zextras exists")
}

func judgeTools(s sight[[]tool]) []checks.Finding {
	var out []checks.Finding
	for _, t := range s.saw {
		switch {
		case t.Name != "netcat":
			out = append(out, judgeTool(s, t))
		case s.node.Phase == checks.Health && isRHEL(s.node.OS) && t.Path != "":
			out = append(out, judgeNetcat(s, t))
		}
	}
	return out
}

func judgeTool(s sight[[]tool], t tool) checks.Finding {
	switch {
	case t.Path == "" && t.Unseen.Code != "":
		return tools.Unknown(s, t.Name, "whether %s is installed could not be seen: %s", t.Name, t.Unseen)
	case t.Path == "":
		return tools.Fail(s, t.Name, "%s is not installed", t.Name).Fix(s.on(pick(s.node.OS, "apt-get", "dnf") + " install -y " + t.Name))
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
func judgeNetcat(s sight[[]tool], t tool) checks.Finding {
	switch {
	case len(t.Missing) > 0:
		return tools.Fail(s, t.Name, "%s does not start: %s is missing", t.Path, strings.Join(t.Missing, ", ")).
			Fix(s.on("dnf install -y libbsd"))
	case t.Unseen.Code != "":
		return tools.Unknown(s, t.Name, "whether %s starts could not be seen: %s", t.Path, t.Unseen)
	}
	return tools.Pass(s, t.Name, "netcat has the libraries it needs")
}

func judgeLocale(s sight[locale]) checks.Finding {
	fix := pick(s.node.OS, "locale-gen en_US.UTF-8\nupdate-locale LANG=en_US.UTF-8",
		"dnf install -y glibc-langpack-en\nlocalectl set-locale LANG=en_US.utf8")
	wrong := func(format string, args ...any) checks.Finding {
		return language.Fail(s, s.Vantage, format, args...).Wanted("LANG=en_US.UTF-8").Fix(s.on(fix))
	}
	var file localeFile // that of the distribution, else the other: either may be a link to the other
	for _, f := range s.saw.Files {
		if file.Path == "" || f.Path == pick(s.node.OS, localeUbuntu, localeRHEL) {
			file = f
		}
	}
	switch lang := file.Vars["LANG"]; {
	case file.Path == "":
		return wrong("no locale is set for the system").Saw("neither " + localeUbuntu + " nor " + localeRHEL)
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
	case !s.Proof().Whole():
		return language.Unseen(s, s.Vantage)
	case !slices.ContainsFunc(s.saw.Generated, isEnglish):
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

// isEnglish accepts every spelling of the codeset that glibc takes: UTF-8, utf8.
func isEnglish(value string) bool {
	language, codeset, _ := strings.Cut(value, ".")
	return language == "en_US" && strings.ToLower(strings.ReplaceAll(codeset, "-", "")) == "utf8"
}

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
	case !s.Proof().Whole():
		return ownName.Unknown(s, node, "the hostname is %s; what hostname -f prints could not be seen: %s", h.Kernel, s.Unseen())
	case !strings.EqualFold(strings.TrimSuffix(h.FQDN, "."), node):
		return ownName.Fail(s, node, "hostname -f prints %q, but the node is called %s", h.FQDN, node).
			Saw("hostname -f: " + h.FQDN).Wanted(node).Fix(hosts)
	}
	return ownName.Pass(s, node, "the hostname is %s", h.Kernel)
}

// inHosts is the node's line in /etc/hosts; hostname -f prints its first
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
	case s.saw.Now == "" && s.Proof().Whole():
		return enforcement.Unknown(s, s.Vantage, "getenforce prints no mode")
	}
	return enforcement.Pass(s, s.Vantage, "SELinux is %s", s.saw.Now)
}

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
			Saw(saw).Wanted(fmt.Sprintf("at least %d GB", filesFloor)).Per(platform.Requirements).
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
	var missing, enable []string
	for _, r := range repositories(s.node.OS) {
		if !slices.ContainsFunc(s.saw, r.matches) {
			missing, enable = append(missing, r.name), append(enable, r.enable)
		}
	}
	if len(missing) > 0 && s.Proof().Whole() {
		return channels.Fail(s, s.Vantage, "not enabled: %s", strings.Join(missing, ", ")).
			Saw(strings.Join(s.saw, "\n")).Wanted("BaseOS, AppStream, CodeReady, EPEL").Fix(s.on(strings.Join(enable, "\n")))
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
