package platform

import (
	"maps"
	"slices"
)

// An Inventory is an Ansible inventory in INI form, as it was written: the lint
// needs the lines, the duplicates and the order that a merged view would lose.
type Inventory struct {
	File   string  `json:"file"`           // as given on the command line
	Path   string  `json:"path,omitempty"` // the same, absolute; empty when it was not read from a file
	Groups []Group `json:"groups"`
	// BOM says that the file begins with a byte order mark, which Ansible does
	// not understand.
	BOM bool `json:"bom,omitempty"`
}

// A Group is one [group] with all that its sections say of it, in file order.
type Group struct {
	Name     string  `json:"name"`
	Line     int     `json:"line"` // of its first section
	Hosts    []Host  `json:"hosts,omitempty"`
	Children []Child `json:"children,omitempty"`
	Vars     []Var   `json:"vars,omitempty"`
}

// A Host is one host of a group, ranges expanded, in the order of the file.
type Host struct {
	Name string `json:"name"`
	Line int    `json:"line"`
	Vars []Var  `json:"vars,omitempty"`
}

// A Child is a group named in a [group:children] section.
type Child struct {
	Name string `json:"name"`
	Line int    `json:"line"`
}

// A Var is key=value, of a host or of a group. The value of a variable whose
// name promises a secret is Hidden.
type Var struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Line  int    `json:"line"`
}

// Hidden replaces the value of a variable that is probably a secret, by its name: it is
// put there when the inventory is read, so that the secret goes no further.
const Hidden = "(hidden)"

// Group finds a group by its exact name.
func (inv *Inventory) Group(name string) (Group, bool) {
	i := slices.IndexFunc(inv.Groups, func(g Group) bool { return g.Name == name })
	if i < 0 {
		return Group{}, false
	}
	return inv.Groups[i], true
}

// GroupVar returns what [group:vars] sets key to; the last one wins, as in Ansible.
func (inv *Inventory) GroupVar(c Component, key string) (string, bool) {
	g, _ := inv.Group(string(c))
	return lookup(g.Vars, key)
}

// Var returns what the host's line sets key to.
func (h Host) Var(key string) (string, bool) { return lookup(h.Vars, key) }

// Members are the hosts of the group and of its child groups, as Ansible's
// groups[name] holds them: each once, those of the group itself first.
func (inv *Inventory) Members(name string) []Host {
	groups := make(map[string]Group, len(inv.Groups))
	for _, g := range inv.Groups {
		groups[g.Name] = g
	}
	var out []Host
	seen, visited := map[string]bool{}, map[string]bool{name: true}
	for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
		g := groups[queue[0]]
		for _, h := range g.Hosts {
			if !seen[h.Name] {
				seen[h.Name] = true
				out = append(out, h)
			}
		}
		for _, c := range g.Children {
			if !visited[c.Name] {
				visited[c.Name] = true
				queue = append(queue, c.Name)
			}
		}
	}
	return out
}

// HostVars gives the value of a variable as the playbooks see it for each host
// that has one: of the host's own lines, in whatever group, else of the groups
// that hold it, else of [all:vars]. Where several say something the last one wins.
func (inv *Inventory) HostVars(key string) map[string]string {
	out := map[string]string{}
	everywhere, forAll := inv.GroupVar("all", key)
	for _, g := range inv.Groups {
		if v, ok := lookup(g.Vars, key); ok {
			for _, h := range inv.Members(g.Name) {
				out[h.Name] = v
			}
		}
	}
	own := map[string]string{}
	for _, g := range inv.Groups {
		for _, h := range g.Hosts {
			if v, ok := h.Var(key); ok {
				own[h.Name] = v
			}
			if _, ok := out[h.Name]; !ok && forAll {
				out[h.Name] = everywhere
			}
		}
	}
	maps.Copy(out, own)
	return out
}

func lookup(vars []Var, key string) (string, bool) {
	for _, v := range slices.Backward(vars) {
		if v.Key == key {
			return v.Value, true
		}
	}
	return "", false
}
