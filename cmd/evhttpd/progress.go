package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/evhttpd/evhttpd/bench/experiment"
)

// progress shows on a terminal what is measured now and how long the rest takes; elsewhere it writes a line when a
// round begins.
type progress struct {
	to       io.Writer
	terminal bool
	shown    bool // a line of progress is on the terminal
	round    int  // that the last line was about
}

func newProgress(to io.Writer) *progress { return &progress{to: to, terminal: isTerminal(to)} }

// step is experiment.Options.Progress.
func (p *progress) step(s experiment.Progress) {
	line := fmt.Sprintf("round %d of %d, %v left", s.Round, s.Rounds, s.Left.Round(time.Second))
	if !p.terminal {
		if s.Round != p.round {
			p.round = s.Round
			p.say(line)
		}
		return
	}
	p.clear()
	text := []rune(fmt.Sprintf("%3d %%  %s: %s", 100*s.Done/max(s.All, 1), line, s.What))
	// A line that is wrapped could not be cleared.
	if file, ok := p.to.(*os.File); ok {
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil {
			text = text[:min(len(text), max(columns-1, 0))]
		}
	}
	// A terminal that cannot be written to shows no progress; what counts is written later.
	_, err := fmt.Fprint(p.to, string(text))
	p.shown = err == nil
}

// say writes a line at once.
func (p *progress) say(line string) {
	p.clear()
	fmt.Fprintln(p.to, "evhttpd:", line)
}

// clear takes the progress off the terminal.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.to, "\r\x1b[K")
		p.shown = false
	}
}
