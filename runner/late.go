package runner

import (
	"sync"
	"time"
)

// beat is how often we ask to be woken.
const beat = 20 * time.Millisecond

// lateness knows when this machine was too busy to be on time: it asks to be
// woken at every beat, and notes when it was woken late. What timed out meanwhile
// says nothing of whoever was looked at.
type lateness struct {
	mu     sync.Mutex
	delays []delay
	done   chan struct{}
	gone   sync.WaitGroup
}

// A delay is a time in which we should have been woken, and were not.
type delay struct{ from, to time.Time }

func watchLateness() *lateness {
	l := &lateness{done: make(chan struct{})}
	l.gone.Go(l.watch)
	return l
}

func (l *lateness) watch() {
	timer := time.NewTimer(beat)
	defer timer.Stop()
	for {
		asked := time.Now()
		timer.Reset(beat)
		select {
		case <-l.done:
			return
		case <-timer.C:
		}
		l.woken(asked.Add(beat), time.Now())
	}
}

// woken notes that we were woken at a time, and should have been at another.
func (l *lateness) woken(due, at time.Time) {
	if at.Sub(due) < beat {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delays = append(l.delays, delay{due, at})
}

// worst is the longest that we were late at any time between two moments.
func (l *lateness) worst(from, to time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var worst time.Duration
	for _, d := range l.delays {
		if d.to.After(from) && d.from.Before(to) {
			worst = max(worst, d.to.Sub(d.from))
		}
	}
	return worst
}

func (l *lateness) stop() {
	close(l.done)
	l.gone.Wait()
}
