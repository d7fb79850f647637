package platform

import "slices"

// An Inventory is an Ansible inventory in INI form, as it was written: the lint
// needs the lines, the duplicates and the order that a merged view would lose.
type Inventory struct {
	File   string  `json:"file"` // as given on the command line
	Groups []Group `json:"groups"`
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
// name promises a secret is replaced when the inventory is read.
type Var struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Line  int    `json:"line"`
}

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

func lookup(vars []Var, key string) (string, bool) {
	for _, v := range slices.Backward(vars) {
		if v.Key == key {
			return v.Value, true
		}
	}
	return "", false
}
