package platform

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func parse(t *testing.T, text string) *Inventory {
	t.Helper()
	inv, err := ParseInventory("inv", strings.NewReader(text))
	require.NoError(t, err)
	return inv
}

// What Ansible itself made of testdata/ansible.ini, this parser must make too.
func TestParseAsAnsible(t *testing.T) {
	var want map[string]json.RawMessage
	b, err := os.ReadFile("testdata/ansible.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &want))
	inv, err := ReadInventory("testdata/ansible.ini")
	require.NoError(t, err)

	var meta struct {
		Hostvars map[string]map[string]any
	}
	require.NoError(t, json.Unmarshal(want["_meta"], &meta))
	require.Len(t, meta.Hostvars, 20)
	require.Len(t, inv.Topology().Nodes, len(meta.Hostvars))
	for host, vars := range meta.Hostvars {
		for key, value := range vars {
			got, ok := inv.HostVars(key)[host]
			require.True(t, ok, "%s %s", host, key)
			require.Equal(t, fmt.Sprint(value), got, "%s %s", host, key)
		}
	}
	for _, group := range []string{"g", "ungrouped"} {
		var g struct{ Hosts []string }
		require.NoError(t, json.Unmarshal(want[group], &g))
		var got []string
		for _, h := range inv.Members(group) {
			got = append(got, h.Name)
		}
		require.Equal(t, g.Hosts, got)
	}
	require.Equal(t, inv.Members("g"), inv.Members("up"))
}

func TestParseKeepsWhatTheLintNeeds(t *testing.T) {
	inv := parse(t, "[b]\nx.example.com k=1\n[a]\ny.example.com\n[b]\r\nx.example.com k=2\n[b:vars]\n k = v # c\n")
	require.Equal(t, []Group{
		{
			Name: "b", Line: 1,
			Hosts: []Host{
				{Name: "x.example.com", Line: 2, Vars: []Var{{"k", "1", 2}}},
				{Name: "x.example.com", Line: 6, Vars: []Var{{"k", "2", 6}}},
			},
			Vars: []Var{{"k", "v # c", 8}},
		},
		{Name: "a", Line: 3, Hosts: []Host{{Name: "y.example.com", Line: 4}}},
	}, inv.Groups)
	require.False(t, inv.BOM)
	require.True(t, parse(t, "\ufeff[a]\nx.example.com").BOM)
	require.Empty(t, parse(t, "").Groups)
}

func TestParseHidesSecrets(t *testing.T) {
	const secret = "hunter2"
	inv := parse(t, "[a]\nx.y.z ansible_ssh_pass=hunter2 ansible_user=root\n[a:vars]\nLDAP_Password = \"hunter2\" # x\nansible_private_key_file=hunter2\n")
	b, err := json.Marshal(inv)
	require.NoError(t, err)
	require.NotContains(t, string(b), secret)
	require.Equal(t, map[string]string{"x.y.z": Hidden}, inv.HostVars("ansible_ssh_pass"))
	for _, text := range []string{
		"[a]\nx.y.z ansible_ssh_pass = hunter2",
		"[a]\nx.y.z ansible_ssh_pass= hunter2",
		"[a]\nx.y.z ansible_ssh_pass='hunter2",
		"[a]\nansible_ssh_pass=hunter2",
		"[a]\nx.y.z\n[a:vars]\nansible_ssh_pass: hunter2",
		"[a]\nx.y.z\n[a:vars]\nansible ssh pass = hunter2",
	} {
		_, err := ParseInventory("inv", strings.NewReader(text))
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), secret)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"[a\nx.y.z":                           "inv:1: expected a section: [group]",
		"[a b]":                               "inv:1: expected a section: [group]",
		"[a] ; comment":                       "inv:1: expected a section: [group]",
		"[a:foo]":                             "inv:1: expected [a:vars] or [a:children], found [a:foo]",
		"[a:vars]\nx=1":                       "inv:1: [a:vars] for a group that is not declared",
		"[a:children]\nb":                     "inv:2: the group b is not declared",
		"[a:children]\na":                     "inv:2: the group a contains itself",
		"[a:children]\nb c":                   "inv:2: expected the name of one group in [a:children]",
		"[a:children]\nb\n[b:children]\na":    "inv:4: the group a contains itself: remove a from [b:children]",
		"[a]\nx.y.z\n[a:vars]\nk":             "inv:4: expected key=value in [a:vars]",
		"[a]\nx.y.z\n[a:vars]\n=v":            "inv:4: expected key=value: a key is one word",
		"x.y.z k":                             "inv:1: expected key=value after x.y.z",
		"x.y.z k=1 ; c":                       "inv:1: expected key=value after k=…",
		"x.y.z k=\"1":                         `inv:1: expected a closing " before the end of the line`,
		"x.y.z k=1\\":                         "inv:1: expected a character after the backslash",
		"k=v":                                 `inv:1: expected a host name, found a variable ("k")`,
		"-oProxyCommand=x":                    "inv:1: expected a host name",
		"-x.y.z":                              "ssh would take it for an option",
		"$(reboot).y.z":                       `inv:1: expected a host name, found "$(reboot).y.z": a name cannot contain '$'`,
		"a;b.y.z":                             "a name cannot contain ';'",
		"`a`.y.z":                             "a name cannot contain '`'",
		"'a b.y.z'":                           "a name cannot contain ' '",
		"''":                                  "inv:1: expected a host name",
		"...":                                 "inv:1: expected a host name",
		"a\u202eb.y.z":                        `a name cannot contain '\u202e'`,
		"a\x1b[2Jb.y.z":                       "inv:1: a control character, U+001B",
		"# one\rx.y.z":                        "inv:1: a control character, U+000D",
		"# one\u2028x.y.z":                    "inv:1: a control character, U+2028",
		"\xff.y.z":                            "inv:1: not UTF-8",
		"[a]\nx.y.z:":                         "inv:2: expected a host name, or host:port",
		"x.y.z:0":                             "inv:1: expected a port between 1 and 65535",
		"x.y.z:99999":                         "inv:1: expected a port between 1 and 65535",
		"a[1:3.y.z":                           "expected ] after the range",
		"a[1].y.z":                            "expected a range such as [01:20]",
		"a[1:2:3:4].y.z":                      "expected a range such as [01:20]",
		"a[1:].y.z":                           "expected a range such as [01:20]",
		"a[1:3:0].y.z":                        "expected a range such as [01:20]",
		"a[ab:cd].y.z":                        "expected a range such as [01:20]",
		"a[1:c].y.z":                          "expected a range such as [01:20]",
		"a[-1:3].y.z":                         "expected a range such as [01:20]",
		"a[01:3].y.z":                         "to have the same width",
		"a[5:3].y.z":                          "ends before it begins",
		"a[c:a].y.z":                          "ends before it begins",
		"a[1:1000000].y.z":                    "inv:1: \"a[1:1000000].y.z\": a range of more than 10000 hosts",
		"a[1:999999999].y.z":                  "a range of more than 10000 hosts",
		"a[1:99999999999999999999].y.z":       "expected a range such as [01:20]",
		"a[1:200][1:200].y.z":                 "a range of more than 10000 hosts",
		strings.Repeat("a", maxLine+1):        "inv:1: a line of 65537 bytes",
		strings.Repeat("a", maxPattern+1):     "inv:1: expected a host name, found a word of 1025 bytes",
		"[a]\nx.y.z\n[a:vars]\nk=!vault |":    "inv:4: the value of k is encrypted with Ansible Vault",
		"x.y.z k='$ANSIBLE_VAULT;1.1'":        "inv:1: the value of k is encrypted with Ansible Vault",
		"$ANSIBLE_VAULT;1.1;AES256\n6130":     "inv: encrypted with Ansible Vault",
		"#!/usr/bin/env python3\n":            "inv: a script that generates an inventory",
		"{\"all\": {}}":                       "inv: an inventory in JSON",
		"# x\n---\nall:":                      "inv: an inventory in YAML",
		"all:\n  hosts:":                      "inv: an inventory in YAML",
		"plugin: aws_ec2":                     "inv: an inventory in YAML",
		manyGroups(maxGroups + 1):             "inv:1001: more than 1000 groups",
		strings.Repeat("a[0:9999].y.z\n", 11): "inv:11: more than 100000 hosts",
		strings.Repeat("# x\n", maxInventory/4+1): "inv: larger than 4 MiB",
	} {
		_, err := ParseInventory("inv", strings.NewReader(text))
		require.ErrorContains(t, err, want, "%.40q", text)
	}
}

func manyGroups(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "[g%d]\n", i)
	}
	return b.String()
}

func TestReadInventory(t *testing.T) {
	inv, err := ReadInventory("testdata/ha-25.6.ini")
	require.NoError(t, err)
	require.Equal(t, "testdata/ha-25.6.ini", inv.File)
	require.True(t, filepath.IsAbs(inv.Path))

	dir := t.TempDir()
	_, err = ReadInventory(dir)
	require.ErrorContains(t, err, "is a directory")
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	_, err = ReadInventory(fifo)
	require.ErrorContains(t, err, "not a regular file")
	_, err = ReadInventory("/dev/zero")
	require.ErrorContains(t, err, "not a regular file")
	_, err = ReadInventory(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Whatever the file holds: no panic, and what is accepted is safe to use.
func FuzzParseInventory(f *testing.F) {
	for _, file := range []string{"ansible.ini", "ha-25.6.ini", "rur-26.6.ini"} {
		b, err := os.ReadFile("testdata/" + file)
		require.NoError(f, err)
		f.Add(string(b))
	}
	for _, s := range []string{"a[1:3:2]b[a:c].x:22 k='v' # c", "[a:children]\nb\n[b:children]\na", "[a:vars]\nk=\"v\" # c", "[::1]:22", "\ufeff[a]\r\n", "a\\", "[1:3].x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := ParseInventory("inv", strings.NewReader(text))
		if err != nil {
			require.Contains(t, err.Error(), "inv:")
			return
		}
		hosts := inv.hosts()
		require.LessOrEqual(t, len(hosts), maxHosts)
		for _, h := range hosts {
			require.NoError(t, acceptableName(h.Name))
		}
		top := inv.Topology()
		require.LessOrEqual(t, len(top.Nodes), len(hosts))
		for _, n := range top.Nodes {
			require.NotEmpty(t, n.Name)
		}
	})
}
