package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/evhttpd/evhttpd/bench"
)

// progress shows on a terminal what is measured now and how long the rest takes;
// elsewhere it writes a line when a round begins.
type progress struct {
	to    io.Writer
	bar   *progressbar.ProgressBar // nil: no terminal
	round int                      // that the last line was about
}

func newProgress(to io.Writer) *progress {
	p := &progress{to: to}
	if isTerminal(to) {
		p.bar = progressbar.NewOptions(1,
			progressbar.OptionSetWriter(to), progressbar.OptionSetWidth(24), progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish())
	}
	return p
}

// step is bench.Options.Progress.
func (p *progress) step(s bench.Step) {
	if p.bar == nil {
		if s.Round != p.round {
			p.round = s.Round
			p.say(fmt.Sprintf("round %d of %d, %v left", s.Round, s.Rounds, s.Left.Round(time.Second)))
		}
		return
	}
	p.bar.ChangeMax(s.All)
	what := s.Subject
	if s.Cell != "" {
		what += ", " + s.Cell
	}
	p.bar.Describe(fmt.Sprintf("round %d of %d, %v left: %s", s.Round, s.Rounds, s.Left.Round(time.Second), what))
	// A terminal that cannot be written to shows no progress; what counts is written later.
	_ = p.bar.Set(s.Done)
}

// say writes a line at once.
func (p *progress) say(line string) {
	p.clear()
	fmt.Fprintln(p.to, "evhttpd:", line)
}

// clear takes the bar off the terminal.
func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
