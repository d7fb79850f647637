package checks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Suite is modules that were verified together.
type Suite struct {
	modules []*Module
	checks  map[string]*Check
	of      map[*Check]*Module
}

// Assemble verifies modules, and is the only way to a Suite. A catalogue with a
// fault is an error that names it: a check whose ID is given twice, is of
// another subject or lacks its documentation; a check that is judged from no look;
// a need that is of another subject or goes round in a ring; two looks of one kind;
// a setting without a key, given twice, or with a default outside its bounds.
func Assemble(modules ...*Module) (Suite, error) {
	s := Suite{modules: modules, checks: map[string]*Check{}, of: map[*Check]*Module{}}
	var errs []error
	names, settings := map[string]bool{}, map[string]AnySetting{}
	for _, m := range modules {
		if names[m.Name] {
			errs = append(errs, fmt.Errorf("two modules are called %q", m.Name))
		}
		names[m.Name] = true
		if (m.Judge == nil) == (m.Conclude == nil) {
			errs = append(errs, fmt.Errorf("%s: wants one of Judge and Conclude", m.Name))
		}
		for _, c := range m.Checks {
			if s.checks[c.ID] != nil {
				errs = append(errs, fmt.Errorf("%s: the ID is given twice", c.ID))
			}
			s.checks[c.ID], s.of[c] = c, m
			errs = append(errs, c.verify(m)...)
		}
		errs = append(errs, m.verifyLooks()...)
		errs = append(errs, m.verifySettings(settings)...)
	}
	return s, errors.Join(errs...)
}

// verifySettings says what is wrong with a module's settings. known are those of
// all modules, by key and by flag.
func (m *Module) verifySettings(known map[string]AnySetting) []error {
	var errs []error
	for _, setting := range m.Settings {
		about, name := setting.About(), setting.Name()
		if about.Key == "" && about.Flag == "" {
			errs = append(errs, fmt.Errorf("%s: a setting has neither Key nor Flag", m.Name))
			continue
		}
		if about.Doc == "" {
			errs = append(errs, fmt.Errorf("%s: the setting %s has no Doc", m.Name, name))
		}
		if err := setting.verify(); err != nil {
			errs = append(errs, fmt.Errorf("%s: the setting %s %w", m.Name, name, err))
		}
		for _, word := range []string{about.Key, "--" + about.Flag} {
			if word == "" || word == "--" {
				continue
			}
			if known[word] != nil && known[word] != setting {
				errs = append(errs, fmt.Errorf("%s: two settings are called %s", m.Name, word))
			}
			known[word] = setting
		}
	}
	return errs
}

// verify says what is wrong with an entry of the catalogue.
func (c *Check) verify(m *Module) []error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", c.ID, fmt.Sprintf(format, args...)))
	}
	switch rest, ok := strings.CutPrefix(c.ID, m.Name+"."); {
	case !ok:
		errs = append(errs, fmt.Errorf("%s: the ID %q does not begin with %q", m.Name, c.ID, m.Name+"."))
	case rest == "":
		errs = append(errs, fmt.Errorf("%s: the ID %q has nothing after the dot", m.Name, c.ID))
	}
	for _, text := range []struct{ name, text string }{{"Title", c.Title}, {"Why", c.Why}, {"Manual", c.Manual}, {"Remedy", c.Remedy}} {
		if strings.TrimSpace(text.text) == "" {
			wrong("has no %s", text.name)
		}
	}
	if len(c.Sources) == 0 {
		wrong("has no source")
	}
	for _, source := range c.Sources {
		if source.Title == "" || source.Address == "" {
			wrong("a source lacks its title or address")
		}
	}
	if m.Judge != nil && len(c.Looks) == 0 {
		wrong("has no Looks: what is it judged from?")
	}
	if c.Wants != nil && !slices.Contains(m.Settings, c.Wants) {
		wrong("wants a setting that %s does not have", m.Name)
	}
	for _, n := range c.Needs {
		if !slices.Contains(m.Checks, n) {
			wrong("needs a check that %s does not have", m.Name)
		}
	}
	if c.reaches(c, len(m.Checks)) {
		wrong("needs itself, in a ring")
	}
	return errs
}

// reaches says whether the needs of c lead to the check, in so many steps.
func (c *Check) reaches(to *Check, steps int) bool {
	return steps > 0 && slices.ContainsFunc(c.Needs, func(n *Check) bool { return n == to || n.reaches(to, steps-1) })
}

// verifyLooks says what is wrong with the looks that a module's checks name.
func (m *Module) verifyLooks() []error {
	var errs []error
	for i, l := range m.Looks() {
		if err := l.verify(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
		}
		for _, other := range m.Looks()[:i] {
			if other.Name() == l.Name() {
				errs = append(errs, fmt.Errorf("%s: two looks are of kind %q", m.Name, l.Name()))
			}
		}
	}
	return errs
}

// Looks are those that the module's checks are judged from, each once.
func (m *Module) Looks() []AnyLook {
	var out []AnyLook
	for _, c := range m.Checks {
		for _, l := range c.Looks {
			if !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// Modules are the suite's, in the order of a report.
func (s Suite) Modules() []*Module { return s.modules }

// Checks are those of all modules, in the order of a report.
func (s Suite) Checks() []*Check {
	var out []*Check
	for _, m := range s.modules {
		out = append(out, m.Checks...)
	}
	return out
}

// Check finds a check by its ID; nil when there is none.
func (s Suite) Check(id string) *Check { return s.checks[id] }

// Module is the module of a check; nil of one that is not in the suite.
func (s Suite) Module(c *Check) *Module { return s.of[c] }

// Settings are those of all modules.
func (s Suite) Settings() []AnySetting {
	var out []AnySetting
	for _, m := range s.modules {
		for _, setting := range m.Settings {
			if !slices.Contains(out, setting) {
				out = append(out, setting)
			}
		}
	}
	return out
}

// Readable says why an observation is none that a module of the suite could
// have made.
func (s Suite) Readable(o Observation) error {
	l, err := s.look(o)
	if err != nil {
		return err
	}
	ask, seen := l.blank()
	if _, why := decode(o, ask, seen); why.Code == Defective {
		return errors.New(why.Words)
	}
	return nil
}

// Exact is an error for an observation with a field that its look does not have.
// In a file it may be of a newer version; in a recorded case it is misspelt, or
// nobody reads it any more.
func (s Suite) Exact(o Observation) error {
	l, err := s.look(o)
	if err != nil {
		return err
	}
	ask, seen := l.blank()
	return errors.Join(exact(o.Target.Ask, ask), exact(o.Data, seen))
}

func exact(text json.RawMessage, into any) error {
	if len(text) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// look is the one that an observation says it is of.
func (s Suite) look(o Observation) (AnyLook, error) {
	for _, m := range s.modules {
		if m.Name != o.Subject {
			continue
		}
		for _, l := range m.Looks() {
			if l.Name() == o.Kind {
				return l, nil
			}
		}
		return nil, fmt.Errorf("%s has no look %q", o.Subject, o.Kind)
	}
	return nil, fmt.Errorf("there is no subject %q", o.Subject)
}
