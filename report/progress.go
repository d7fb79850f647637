package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"

	"carbonio-check/terminal"
)

// refresh is how often the live line may change; more often nobody reads it.
const refresh = 100 * time.Millisecond

// Progress draws one live line on a terminal: how far the run is, and what it
// still waits for. What runs longest comes first, because that is what one waits
// for. Its methods may be called from many goroutines.
type Progress struct {
	w     io.Writer
	width int

	mu      sync.Mutex
	total   int
	ended   int
	running []string // in the order in which they began
	drawn   string

	stop, stopped chan struct{}
}

// NewProgress makes the progress of a run on a terminal of that width.
func NewProgress(w io.Writer, width int) *Progress {
	if width <= 0 {
		width = terminal.Classic
	}
	return &Progress{w: w, width: width}
}

// Start begins to draw. A run that is over before the first refresh leaves the
// terminal untouched.
func (p *Progress) Start(total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += total
	if p.stop != nil {
		return
	}
	p.stop, p.stopped = make(chan struct{}), make(chan struct{})
	go p.draw(p.stop, p.stopped)
}

// Began notes that a look began.
func (p *Progress) Began(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, what)
}

// Ended notes that a look ended.
func (p *Progress) Ended(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended++
	if i := slices.Index(p.running, what); i >= 0 {
		p.running = slices.Delete(p.running, i, i+1)
	}
}

// Stop erases the line and returns when nothing more will be drawn.
func (p *Progress) Stop() {
	p.mu.Lock()
	stop, stopped := p.stop, p.stopped
	p.stop = nil
	p.mu.Unlock()
	if stop == nil {
		return
	}
	close(stop)
	<-stopped
}

func (p *Progress) draw(stop, stopped chan struct{}) {
	defer close(stopped)
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.show(p.line())
		case <-stop:
			p.show("")
			return
		}
	}
}

// line is what there is to say; nothing when nothing runs.
func (p *Progress) line() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.running) == 0 {
		return ""
	}
	first := p.running[:min(len(p.running), 3)]
	s := fmt.Sprintf("  %d of %d  %s", p.ended, max(p.total, p.ended+len(p.running)), line(strings.Join(first, ", ")))
	if more := len(p.running) - len(first); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return ansi.Truncate(s, p.width-1, "...")
}

// show replaces the contents of the line. A terminal that went away is no
// reason to stop looking.
func (p *Progress) show(s string) {
	if s == p.drawn {
		return
	}
	p.drawn = s
	_, _ = io.WriteString(p.w, "\r"+ansi.EraseLineRight+s)
}
