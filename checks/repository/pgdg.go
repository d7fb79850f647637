package repository

import (
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// pgdg judges PostgreSQL's repository. That there is none is a warning: the
// playbook configures it (AIA set-repos), a person must.
func (v view) pgdg() checks.Finding {
	const target = "PostgreSQL's repository"
	if len(v.postgres) == 0 {
		if v.denied() != "" || v.o.Error != "" {
			return v.o.Unknown(pgdgID, target, "none was found, but not all files could be read: run carbonio-check as root")
		}
		f := v.o.Warn(pgdgID, target, "it is not configured: the playbook does that, an installation by hand must, too")
		return f.Wanted("apt.postgresql.org (Ubuntu), download.postgresql.org (RHEL)").Fix(v.installPGDG())
	}
	if v.apt() {
		return v.aptPGDG(target)
	}
	return v.dnfPGDG(target)
}

func (v view) aptPGDG(target string) checks.Finding {
	want := v.vantage.OS.Codename + "-pgdg"
	for _, e := range v.postgres {
		if e.mentions("-pgdg") && !slices.ContainsFunc(e.Suites, func(s string) bool { return strings.HasPrefix(s, want) }) {
			f := v.o.Fail(pgdgID, target, "%s is for another release of the system", e).
				Saw(clip(strings.Join(e.Suites, " "))).Wanted(want)
			if plain(e.File, want) && len(e.Suites) == 1 && plain(e.Suites[0]) {
				f = f.Fix(fmt.Sprintf("sed -i 's/%s/%s/' %s && apt update", e.Suites[0], want, e.File))
			}
			return f
		}
	}
	return v.o.Pass(pgdgID, target, "%s", v.postgres[0])
}

// dnfPGDG wants the repository of PostgreSQL 16, and RHEL's own module out of
// its way: on RHEL 8 that has a default stream, which shadows PGDG.
func (v view) dnfPGDG(target string) checks.Finding {
	state := ""
	for l := range strings.Lines(v.s.Module) {
		if name, value, _ := strings.Cut(l, "="); strings.TrimSpace(name) == "state" {
			state = strings.TrimSpace(value)
		}
	}
	const disable = "dnf -qy module disable postgresql"
	major, _, _ := v.system()
	switch {
	case !slices.ContainsFunc(v.postgres, func(e entry) bool { return e.mentions("16") }):
		return v.o.Fail(pgdgID, target, "it is configured, but not switched on for PostgreSQL 16").
			Saw(clip(v.postgres[0].Raw)).Wanted("[pgdg16] with enabled=1").Fix("dnf config-manager --set-enabled pgdg16")
	case state == "enabled":
		return v.o.Fail(pgdgID, target, "the system's own module postgresql is enabled, and shadows it").
			Saw("state=" + state).Wanted("state=disabled in " + moduleFile).Fix(disable)
	case state != "disabled" && major == "8":
		return v.o.Warn(pgdgID, target, "the system's own module postgresql is not disabled, and its default stream shadows it: the playbook disables it, an installation by hand must, too").
			Wanted("state=disabled in " + moduleFile).Fix(disable)
	}
	return v.o.Pass(pgdgID, target, "%s", v.postgres[0])
}

func (v view) installPGDG() string {
	is, known, _ := v.system()
	switch {
	case !slices.Contains(known, is):
		return ""
	case v.apt():
		return "wget -O- " + postgresKey + ` | gpg --dearmor > /usr/share/keyrings/postgres.gpg && chmod 644 /usr/share/keyrings/postgres.gpg` + "\n" +
			fmt.Sprintf(`echo "deb [signed-by=/usr/share/keyrings/postgres.gpg] https://apt.postgresql.org/pub/repos/apt %s-pgdg main" > /etc/apt/sources.list.d/pgdg.list`, is) + "\napt update"
	}
	return fmt.Sprintf("dnf -y install https://download.postgresql.org/pub/repos/yum/reporpms/EL-%s-x86_64/pgdg-redhat-repo-latest.noarch.rpm", is) +
		"\ndnf -qy module disable postgresql"
}
