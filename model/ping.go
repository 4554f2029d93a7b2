package model

import (
	"fmt"
	"sync"
	"time"
)

// Pulse is how something that goes round and round, a loop or an acceptor,
// shows that it still does. Its zero value is ready. All methods may be called from any goroutine.
type Pulse struct {
	mu    sync.Mutex
	asked chan struct{} // closed at the next Beat; nil: nobody waits for one
	ended bool
}

// Ask returns a channel that is closed at the next Beat. first reports that
// nobody else waits for it yet: the first one is to have the round made. However
// often is asked of what does not beat, it is one question.
func (p *Pulse) Ask() (beaten <-chan struct{}, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = p.asked == nil
	if first {
		p.asked = make(chan struct{})
	}
	if p.ended && first {
		close(p.asked)
	}
	return p.asked, first && !p.ended
}

// Beat answers whoever asked.
func (p *Pulse) Beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked != nil && !p.ended {
		close(p.asked)
		p.asked = nil
	}
}

// End answers whoever asked and whoever will: what has come to its end is not stuck.
func (p *Pulse) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked != nil && !p.ended {
		close(p.asked)
	}
	p.ended = true
}

// Pinged is one of those that a ping waits for.
type Pinged struct {
	Name  string // for the error
	Pulse *Pulse
	Nudge func() // has it go round once, soon; it must not block
}

// Ping waits until all have beaten once, at most for timeout. The error names the first that has not.
func Ping(timeout time.Duration, all []Pinged) error {
	waits := make([]<-chan struct{}, len(all))
	for i, p := range all {
		beaten, first := p.Pulse.Ask()
		if first {
			p.Nudge()
		}
		waits[i] = beaten
	}
	for _, i := range Late(timeout, waits) {
		return fmt.Errorf("%s has not answered for %v", all[i].Name, timeout)
	}
	return nil
}

// Late waits until all channels are closed, at most for timeout, and returns the positions of those that are not.
func Late(timeout time.Duration, all []<-chan struct{}) (late []int) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	over := false
	for i, c := range all {
		if !over {
			select {
			case <-c:
				continue
			case <-timer.C: // which fires once: the others are only looked at
				over = true
			}
		}
		select {
		case <-c:
		default:
			late = append(late, i)
		}
	}
	return late
}
