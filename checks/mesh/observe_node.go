package mesh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"carbonio-check/checks"
)

// losses count how often each member was lost within the last hour.
type losses map[string]int

// maxLines bounds what is read of an hour of the log.
const maxLines = "3000"

var memberFailed = regexp.MustCompile(`serf\.lan: serf: EventMemberFailed: (\S+)`)

// observeJournal counts in the log of the agent.
func observeJournal(ctx context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (losses, error) {
	if host.Machine.UID() != 0 {
		return nil, fmt.Errorf("%w: the log of service-discover is for root to read", fs.ErrPermission)
	}
	text, err := host.Run(ctx, "journalctl", "-u", "service-discover", "--since", "-1h", "-n", maxLines, "-o", "cat", "-q", "--no-pager")
	if err != nil {
		return nil, err
	}
	lost := losses{}
	for _, m := range memberFailed.FindAllStringSubmatch(text, -1) {
		lost[m[1]]++
	}
	return lost, nil
}

// observeDirectory reads the services that the directory has for this node.
func observeDirectory(ctx context.Context, host checks.Host, _ checks.Target[checks.Nothing]) ([]string, error) {
	const line = `TERM=xterm-256color; PATH=/opt/zextras/bin:$PATH; export TERM PATH; carbonio prov -l gs "$(zmhostname)" zimbraServiceEnabled`
	run, err := host.Zextras(ctx)
	if err != nil {
		return nil, err
	}
	text, err := run(ctx, line)
	if err != nil {
		return nil, err
	}
	return parseServer(text)
}

var enabledService = regexp.MustCompile(`(?mi)^zimbraServiceEnabled:[ \t]*(\S+)`)

// parseServer reads "# name HOST" and the "zimbraServiceEnabled: NAME" lines of
// carbonio prov gs.
func parseServer(text string) ([]string, error) {
	if !strings.HasPrefix(text, "# name ") && !strings.Contains(text, "\n# name ") {
		return nil, errors.New("carbonio prov gs printed no server")
	}
	enabled := []string{}
	for _, m := range enabledService.FindAllStringSubmatch(text, -1) {
		enabled = append(enabled, m[1])
	}
	return enabled, nil
}

// observeSetups lists the scripts that pending-setups would run.
func observeSetups(_ context.Context, host checks.Host, t checks.Target[checks.Nothing]) ([]string, error) {
	waiting := []string{}
	entries, err := fs.ReadDir(host.Files, strings.TrimPrefix(t.Name, "/"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && path.Ext(e.Name()) == ".sh" {
			waiting = append(waiting, e.Name())
		}
	}
	return waiting, nil
}
