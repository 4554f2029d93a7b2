// Package experiment is what a measurement on this machine consists of, whatever is measured: its options, interleaved
// rounds with their progress, CPUs for server and client, samples with paired ratios and a control's verdict, and what
// shows them: tables, JSON, CSV and a folder with charts.
//
// It imports bench/chart, bench/machine, bench/stats and bench/text.
package experiment

import (
	"fmt"
	"time"
)

const (
	// RoundsMax and DurationMax bound what can be asked for.
	RoundsMax   = 1000
	DurationMax = 10 * time.Minute
)

// Options are those that every measurement has.
type Options struct {
	Binary  string // an evhttpd
	Version string // of it, for the report
	Command string // as typed, for the report
	// Models are the names of those that are compared; none: all that can run here.
	Models []string
	// Rounds and Duration (of one measurement); 0: as is usual.
	Rounds   int
	Duration time.Duration
	Seed     uint64 // of the order within rounds, and of what is chosen at random
	// Progress, if set, is called before each measurement; Print with what is to be said at once.
	Progress func(Progress)
	Print    func(line string)
}

// Progress is how far a measurement has come when its next part begins.
type Progress struct {
	Done, All     int
	Round, Rounds int
	What          string        // what is measured now
	Left          time.Duration // about how long the rest takes
}

// OptionError is a mistake in what was asked for.
type OptionError struct {
	Command string // for which it was asked
	Err     error
}

// Error implements error.
func (e *OptionError) Error() string { return e.Command + ": " + e.Err.Error() }

// Unwrap returns the mistake itself.
func (e *OptionError) Unwrap() error { return e.Err }

// Mistake returns an OptionError of a command.
func Mistake(command, format string, args ...any) error {
	return &OptionError{command, fmt.Errorf(format, args...)}
}

// Check returns a mistake in the options that every measurement has.
func (o *Options) Check(command string) error {
	switch {
	case o.Rounds < 0 || o.Rounds > RoundsMax:
		return Mistake(command, "--rounds %d: there must be 1 to %d", o.Rounds, RoundsMax)
	case o.Duration < 0 || o.Duration > DurationMax:
		return Mistake(command, "--duration %v: it must be more than 0 and at most %v", o.Duration, DurationMax)
	}
	return nil
}
