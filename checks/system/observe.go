package system

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/packages"
)

type base struct {
	Architecture    string        `json:"architecture"`
	Minimized       bool          `json:"minimized"`
	MinimizedUnseen checks.Unseen `json:"minimized_unseen,omitzero"`
}

func observeBase(_ context.Context, host checks.Host) (base, error) {
	minimized, err := host.Exists("/etc/update-motd.d/60-unminimize")
	return base{host.Machine.Architecture(), minimized, why(err)}, nil
}

// why is the reason that something was not seen, where there is one.
func why(err error) checks.Unseen {
	if err == nil {
		return checks.Unseen{}
	}
	return checks.Why(err)
}

// user is the entry of zextras in /etc/passwd; without a name there is none.
type user struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
	Home string `json:"home,omitempty"`
}

func observeUser(_ context.Context, host checks.Host) (user, error) {
	text, err := host.ReadFile("/etc/passwd")
	if err != nil {
		return user{}, err
	}
	for line := range strings.Lines(text) {
		switch f := strings.Split(line, ":"); {
		case f[0] != "zextras" || len(f) < 2:
		case len(f) < 6:
			return user{Name: f[0]}, nil
		default:
			return user{f[0], f[2], f[5]}, nil
		}
	}
	return user{}, nil
}

// A tool is a program and where it is; without a path it is not installed.
type tool struct {
	Name    string   `json:"name"`
	Path    string   `json:"path,omitempty"`
	Version string   `json:"version,omitempty"`
	Missing []string `json:"missing,omitempty"` // shared libraries
	// Unseen is why not all of it was seen.
	Unseen checks.Unseen `json:"unseen,omitzero"`
}

func observeTools(ctx context.Context, host checks.Host) ([]tool, error) {
	python := find(host, "python3")
	if python.Path != "" {
		out, err := host.Run(ctx, python.Path, "--version")
		python.Version = strings.TrimSpace(strings.TrimPrefix(out, "Python "))
		python.Unseen = why(err)
	}
	netcat := find(host, "netcat")
	if netcat.Path != "" {
		out, err := host.Run(ctx, "ldd", netcat.Path)
		netcat.Missing = missingLibraries(out)
		netcat.Unseen = why(err)
	}
	return []tool{python, find(host, "perl"), netcat}, nil
}

func find(host checks.Host, name string) tool {
	var unseen error
	for _, dir := range []string{"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"} {
		there, err := host.Exists(path.Join(dir, name))
		if there {
			return tool{Name: name, Path: path.Join(dir, name)}
		}
		unseen = cmp.Or(err, unseen)
	}
	return tool{Name: name, Unseen: why(unseen)}
}

// missingLibraries reads "libbsd.so.0 => not found" in the output of ldd.
func missingLibraries(ldd string) []string {
	var out []string
	for line := range strings.Lines(ldd) {
		if name, rest, ok := strings.Cut(line, "=>"); ok && strings.TrimSpace(rest) == "not found" {
			out = append(out, strings.TrimSpace(name))
		}
	}
	return out
}

type locale struct {
	Files []localeFile `json:"files"`
	// Generated are the locales en_US that the machine has.
	Generated []string `json:"generated"`
}

// A localeFile sets LANG and LC_… for the whole system.
type localeFile struct {
	Path string            `json:"path"`
	Vars map[string]string `json:"vars"`
}

const (
	localeUbuntu = "/etc/default/locale"
	localeRHEL   = "/etc/locale.conf"
)

func observeLocale(ctx context.Context, host checks.Host) (locale, error) {
	var l locale
	for _, name := range []string{localeUbuntu, localeRHEL} {
		text, err := host.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return locale{}, err
		}
		l.Files = append(l.Files, localeFile{name, assignments(text)})
	}
	out, err := host.Run(ctx, "locale", "-a")
	for name := range strings.FieldsSeq(out) {
		if strings.HasPrefix(name, "en_US") {
			l.Generated = append(l.Generated, name)
		}
	}
	return l, err
}

// assignments reads the lines NAME=value and NAME="value" of a file.
func assignments(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			out[strings.TrimPrefix(key, "export ")] = strings.Trim(value, `"'`)
		}
	}
	return out
}

type hostname struct {
	Kernel string `json:"kernel"`
	FQDN   string `json:"fqdn,omitempty"` // what hostname -f prints
	// Refused is what hostname -f says when it finds no name.
	Refused string `json:"refused,omitempty"`
}

func observeHostname(ctx context.Context, host checks.Host) (hostname, error) {
	kernel, err := host.Machine.Hostname()
	if err != nil {
		return hostname{}, err
	}
	out, err := host.Run(ctx, "hostname", "-f")
	if exit, ok := errors.AsType[*checks.ExitError](err); ok {
		return hostname{Kernel: kernel, Refused: exit.Error()}, nil
	}
	return hostname{Kernel: kernel, FQDN: strings.TrimSpace(out)}, err
}

// selinux holds modes in lower case: enforcing, permissive, disabled.
type selinux struct {
	Config string `json:"config,omitempty"`
	Now    string `json:"now,omitempty"`
}

func observeSELinux(ctx context.Context, host checks.Host) (selinux, error) {
	text, err := host.ReadFile("/etc/selinux/config")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return selinux{}, err
	}
	now, err := host.Run(ctx, "getenforce")
	if errors.Is(err, fs.ErrNotExist) {
		now, err = enforce(host)
	}
	return selinux{strings.ToLower(assignments(text)["SELINUX"]), strings.ToLower(strings.TrimSpace(now))}, err
}

// enforce asks the kernel; one without selinuxfs has SELinux disabled.
func enforce(host checks.Host) (string, error) {
	text, err := host.ReadFile("/sys/fs/selinux/enforce")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "disabled", nil
	case err != nil:
		return "", err
	case strings.TrimSpace(text) == "0":
		return "permissive", nil
	}
	return "enforcing", nil
}

// observePackages keeps the packages of the software that conflicts.
func observePackages(ctx context.Context, host checks.Host) ([]string, error) {
	names, err := packages.Installed(ctx, host)
	return slices.DeleteFunc(names, func(name string) bool {
		return !slices.ContainsFunc(conflicting, func(s software) bool { return s.owns(name) })
	}), err
}

// observeProcesses keeps the names of the processes of the software that conflicts.
func observeProcesses(ctx context.Context, host checks.Host) ([]string, error) {
	processes, err := host.Machine.Processes(ctx)
	names := []string{}
	for _, p := range processes {
		if slices.ContainsFunc(conflicting, func(s software) bool { return s.runs(p.Name) }) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// observeRepositories asks dnf rather than subscription-manager, which knows
// neither EPEL nor the mirrors of a cloud, and takes root.
func observeRepositories(ctx context.Context, host checks.Host) ([]string, error) {
	out, err := host.Run(ctx, "dnf", "-q", "repolist", "--enabled")
	return enabled(out), err
}

// enabled takes the first column; older versions mark it with * or !.
func enabled(repolist string) []string {
	ids := []string{}
	for line := range strings.Lines(repolist) {
		if f := strings.Fields(line); len(f) > 1 && !(f[0] == "repo" && f[1] == "id") {
			ids = append(ids, strings.TrimLeft(f[0], "*!"))
		}
	}
	return ids
}
