package clock

import (
	"cmp"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
)

const (
	ntpPort = 123
	// maxServers bounds how many servers of a configuration are asked.
	maxServers = 32
	// maxIncludes bounds how many files of a configuration are read.
	maxIncludes = 64
)

// A server is a time server as configured; a pool is one server here.
type server struct {
	Name string `json:"name"`
	Port int    `json:"port"`
}

// String leaves out the default port.
func (s server) String() string {
	if s.Port == ntpPort {
		return s.Name
	}
	return net.JoinHostPort(s.Name, strconv.Itoa(s.Port))
}

// parseServers reads names such as "ntp.example.com" and "ntp.example.com:1123".
func parseServers(names []string) ([]server, error) {
	var out []server
	for _, name := range names {
		host, port, err := net.SplitHostPort(name)
		if err != nil {
			host, port = name, strconv.Itoa(ntpPort)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || host == "" || strings.ContainsAny(host, " \t/[]") {
			return nil, fmt.Errorf("%q: want a name or an address, optionally with a port", name)
		}
		out = append(out, server{host, int(n)})
	}
	return out, nil
}

// A configuration is where a time service takes the time from.
type configuration struct {
	File      string   `json:"file,omitempty"` // the first that named a source; empty: none does
	Servers   []server `json:"servers,omitempty"`
	Refclocks []string `json:"refclocks,omitempty"` // clocks on the machine itself: "PHC /dev/ptp0"
}

func (c *configuration) add(file, name string, port int) {
	s := server{name, port}
	if name != "" && len(c.Servers) < maxServers && !slices.Contains(c.Servers, s) {
		c.Servers = append(c.Servers, s)
		c.File = cmp.Or(c.File, "/"+file)
	}
}

func (c *configuration) clock(file, name string) {
	c.Refclocks = append(c.Refclocks, name)
	c.File = cmp.Or(c.File, "/"+file)
}

// configured reads the configuration of the first time service that names a
// source. chrony and ntpd come first: installing one of them disables
// systemd-timesyncd, whose configuration file stays.
func configured(host checks.Host) configuration {
	for _, read := range []func(checks.Host) configuration{chrony, ntpd, timesyncd} {
		if c := read(host); c.File != "" {
			return c
		}
	}
	return configuration{}
}

// chrony reads chrony.conf(5): /etc/chrony.conf on RHEL, /etc/chrony/chrony.conf
// on Ubuntu, and whatever files they name.
func chrony(host checks.Host) configuration {
	r := chronyReader{host: host}
	r.read("etc/chrony.conf")
	r.read("etc/chrony/chrony.conf")
	return r.configuration
}

type chronyReader struct {
	configuration
	host checks.Host
	done []string
}

func (r *chronyReader) read(file string) {
	if len(r.done) >= maxIncludes || slices.Contains(r.done, file) {
		return
	}
	r.done = append(r.done, file)
	text, _ := r.host.ReadFile(file) // no file, no line
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.ContainsAny(f[0][:1], "#!;%") { // comments are whole lines
			continue
		}
		switch args := f[1:]; strings.ToLower(f[0]) {
		case "server", "pool", "peer":
			r.add(file, args[0], portOption(args[1:]))
		case "refclock":
			r.clock(file, strings.Join(args[:min(2, len(args))], " "))
		case "include":
			r.readAll(args[:1], "")
		case "confdir":
			r.readAll(args, "/*.conf")
		case "sourcedir":
			r.readAll(args, "/*.sources")
		}
	}
}

// readAll reads the files that match, in each of the folders or as a path itself.
func (r *chronyReader) readAll(folders []string, pattern string) {
	for _, folder := range folders {
		files, _ := fs.Glob(r.host.Files, strings.TrimPrefix(path.Clean(folder+pattern), "/")) // a bad pattern matches nothing
		for _, f := range files {
			r.read(f)
		}
	}
}

// portOption is the number that follows "port".
func portOption(args []string) int {
	if i := slices.Index(args, "port"); i >= 0 && i+1 < len(args) {
		if n, err := strconv.ParseUint(args[i+1], 10, 16); err == nil && n > 0 {
			return int(n)
		}
	}
	return ntpPort
}

// ntpd reads ntp.conf(5) of ntpd and NTPsec, and OpenNTPD's.
func ntpd(host checks.Host) configuration {
	var c configuration
	for _, file := range []string{"etc/ntp.conf", "etc/ntpsec/ntp.conf", "etc/openntpd/ntpd.conf"} {
		text, _ := host.ReadFile(file)
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			words := slices.DeleteFunc(strings.Fields(line), func(s string) bool { return s == "-4" || s == "-6" })
			if len(words) < 2 {
				continue
			}
			name := words[1]
			// 127.127.t.u is a clock on the machine; type 1 is its own, undisciplined one.
			clock, local := strings.CutPrefix(name, "127.127.")
			switch words[0] {
			case "server", "servers", "pool", "peer":
				if !local {
					c.add(file, name, ntpPort)
				} else if !strings.HasPrefix(clock, "1.") {
					c.clock(file, name)
				}
			case "refclock":
				c.clock(file, name)
			}
		}
	}
	return c
}

// timesyncd reads timesyncd.conf(5) and the servers that networkd learned from
// DHCP. FallbackNTP is for when neither names one; where it is not set, the
// packaged file shows the compiled-in list in a comment.
func timesyncd(host checks.Host) configuration {
	const link = "run/systemd/netif/state"
	keys := []string{"NTP", "FallbackNTP", "#FallbackNTP"}
	lists := make([]configuration, len(keys))
	for _, file := range timesyncdFiles(host) {
		text, _ := host.ReadFile(file)
		for line := range strings.Lines(text) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			if i := slices.Index(keys, strings.TrimSpace(key)); i >= 0 {
				lists[i].assign(file, value)
			}
		}
	}
	text, _ := host.ReadFile(link)
	for line := range strings.Lines(text) {
		if list, ok := strings.CutPrefix(line, "NTP="); ok {
			lists[0].addAll(link, list)
		}
	}
	first := slices.IndexFunc(lists, func(c configuration) bool { return c.File != "" })
	return lists[max(first, 0)]
}

// timesyncdFiles are the main files, and the drop-ins in the order of their names.
func timesyncdFiles(host checks.Host) []string {
	dirs := []string{"usr/lib/systemd", "run/systemd", "etc/systemd"}
	var main, dropins []string
	for _, dir := range dirs {
		main = append(main, dir+"/timesyncd.conf")
		found, _ := fs.Glob(host.Files, dir+"/timesyncd.conf.d/*.conf") // the pattern is valid
		dropins = append(dropins, found...)
	}
	slices.SortStableFunc(dropins, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return append(main, dropins[:min(maxIncludes, len(dropins))]...)
}

// assign does as systemd does: lists add up, and an empty one clears them.
func (c *configuration) assign(file, list string) {
	if strings.TrimSpace(list) == "" {
		*c = configuration{}
	}
	c.addAll(file, list)
}

func (c *configuration) addAll(file, list string) {
	for name := range strings.FieldsSeq(strings.Trim(strings.TrimSpace(list), `"`)) {
		c.add(file, name, ntpPort)
	}
}
