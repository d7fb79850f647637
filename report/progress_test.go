package report

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeScreen is a terminal. It embeds nothing: a promoted WriteString would be
// called instead of Write.
type fakeScreen struct {
	mu      sync.Mutex
	written string
	drawn   int
}

func (s *fakeScreen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn++
	s.written += string(p)
	return len(p), nil
}

// all is everything that was written, and in how many strokes.
func (s *fakeScreen) all() (string, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written, s.drawn
}

// line is what stands in the live line now.
func (s *fakeScreen) line() string {
	written, _ := s.all()
	return written[strings.LastIndex(written, "\x1b[K")+3:]
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeScreen{}
		p := NewProgress(s, 60)
		p.Start(9)
		p.Began("hosts.file")
		p.Ended("hosts.file")
		time.Sleep(refresh + 1)
		written, _ := s.all()
		require.Empty(t, written, "nothing runs, nothing is said")

		for _, what := range []string{"ping mbox1", "ping \x1b[2J", "ping mbox3", "ping mbox4", "ping mbox5"} {
			p.Began(what)
		}
		time.Sleep(refresh)
		require.Equal(t, "  1 of 9  ping mbox1, ping �[2J, ping mbox3 and 2 more", s.line())
		p.Ended("ping mbox1")
		p.Ended("ping mbox3")
		time.Sleep(refresh)
		require.Equal(t, "  3 of 9  ping �[2J, ping mbox4, ping mbox5", s.line())

		_, before := s.all()
		require.Equal(t, 2, before, "it was drawn for each change")
		time.Sleep(time.Minute)
		_, after := s.all()
		require.Equal(t, before, after, "nothing changed, and it was drawn again")
		for i := range 1000 {
			p.Began(fmt.Sprint(i)) // each changes how many more there are
			time.Sleep(time.Millisecond)
		}
		_, after = s.all()
		require.Greater(t, after, before)
		require.LessOrEqual(t, after-before, 11, "more than ten times a second")

		p.Stop()
		require.Empty(t, s.line(), "the line is still there")
		_, end := s.all()
		p.Began("late")
		p.Stop()
		time.Sleep(time.Second)
		_, late := s.all()
		require.Equal(t, end, late, "it was drawn after Stop")
	})
}

func TestProgressFitsItsLine(t *testing.T) {
	for _, width := range []int{0, 1, 2, 10, 40} {
		p := NewProgress(nil, width)
		p.Began(strings.Repeat("東京", 40))
		require.Less(t, len([]rune(p.line())), max(p.width, 1), "width %d: %q", width, p.line())
	}
}

// TestProgressOfNothing: what never started leaves no trace.
func TestProgressOfNothing(t *testing.T) {
	s := &fakeScreen{}
	p := NewProgress(s, 80)
	p.Stop()
	p.Start(0)
	p.Stop()
	written, _ := s.all()
	require.Empty(t, written)
}

func TestProgressFromManyGoroutines(t *testing.T) {
	p := NewProgress(&fakeScreen{}, 80)
	p.Start(1000)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for range 10 {
				p.Began(fmt.Sprint(i))
				p.Ended(fmt.Sprint(i))
			}
		})
	}
	wg.Wait()
	p.Stop()
	require.Empty(t, p.running)
	require.Equal(t, 1000, p.ended)
}
