package repository

import (
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// judgePGDG judges PostgreSQL's repository. A missing one is a warning, as the
// playbook configures it.
func (v *view) judgePGDG() checks.Finding {
	const target = "PostgreSQL's repository"
	if len(v.postgres) == 0 {
		if v.unread != "" {
			return pgdg.Unknown(v, target, "none was found, but %s", v.unread)
		}
		f := pgdg.Warn(v, target, "it is not configured: the playbook does that, but a manual installation must do it as well")
		return f.Wanted("apt.postgresql.org (Ubuntu), download.postgresql.org (RHEL)").Fix(v.installPGDG())
	}
	if v.apt {
		return v.aptPGDG(target)
	}
	return v.dnfPGDG(target)
}

func (v *view) aptPGDG(target string) checks.Finding {
	want := v.is + "-pgdg"
	for _, e := range v.postgres {
		if e.mentions("-pgdg") && !slices.ContainsFunc(e.Suites, func(s string) bool { return strings.HasPrefix(s, want) }) {
			f := pgdg.Fail(v, target, "%s is for another release of the operating system", e).
				Saw(clip(strings.Join(e.Suites, " "))).Wanted(want)
			if plain(e.File, want) && len(e.Suites) == 1 && plain(e.Suites[0]) {
				f = f.Fix(fmt.Sprintf("sed -i 's/%s/%s/' %s && apt update", e.Suites[0], want, e.File))
			}
			return f
		}
	}
	return pgdg.Pass(v, target, "%s", v.postgres[0])
}

// dnfPGDG wants the repository of PostgreSQL 16, and RHEL's own module disabled:
// on RHEL 8 its default stream overrides PGDG.
func (v *view) dnfPGDG(target string) checks.Finding {
	state := ""
	for l := range strings.Lines(v.Module) {
		if name, value, _ := strings.Cut(l, "="); strings.TrimSpace(name) == "state" {
			state = strings.TrimSpace(value)
		}
	}
	const disable = "dnf -qy module disable postgresql"
	switch {
	case !slices.ContainsFunc(v.postgres, func(e entry) bool { return e.mentions("16") }):
		return pgdg.Fail(v, target, "it is configured, but not enabled for PostgreSQL 16").
			Saw(clip(v.postgres[0].Raw)).Wanted("[pgdg16] with enabled=1").Fix("dnf config-manager --set-enabled pgdg16")
	case state == "enabled":
		return pgdg.Fail(v, target, "the system's own postgresql module is enabled and overrides it").
			Saw("state=" + state).Wanted("state=disabled in " + moduleFile).Fix(disable)
	case state != "disabled" && v.is == "8":
		return pgdg.Warn(v, target, "the system's own postgresql module is not disabled, and its default stream overrides it: the playbook disables it, but a manual installation must do it as well").
			Wanted("state=disabled in " + moduleFile).Fix(disable)
	}
	return pgdg.Pass(v, target, "%s", v.postgres[0])
}

func (v *view) installPGDG() string {
	switch {
	case !v.supported():
		return ""
	case v.apt:
		return "wget -O- " + postgresKey + ` | gpg --dearmor > /usr/share/keyrings/postgres.gpg && chmod 644 /usr/share/keyrings/postgres.gpg` + "\n" +
			fmt.Sprintf(`echo "deb [signed-by=/usr/share/keyrings/postgres.gpg] https://apt.postgresql.org/pub/repos/apt %s-pgdg main" > /etc/apt/sources.list.d/pgdg.list`, v.is) + "\napt update"
	}
	return fmt.Sprintf("dnf -y install https://download.postgresql.org/pub/repos/yum/reporpms/EL-%s-x86_64/pgdg-redhat-repo-latest.noarch.rpm", v.is) +
		"\ndnf -qy module disable postgresql"
}
