package daemon

import (
	"slices"
	"testing"
)

func (p phase) String() string {
	return [numPhases]string{
		"starting", "settling", "serving", "reloading", "upgrading", "stopping", "draining", "rescuing", "abandoned",
	}[p]
}

func (e event) String() string {
	return [numEvents]string{
		"reload asked", "upgrade asked", "stop asked", "prepared", "refused", "committed", "settled",
		"successor ready", "successor failed", "delay over", "model ended",
	}[e]
}

func (v verdict) String() string { return [...]string{"ignore", "act", "wait", "refuse"}[v] }

// TestLifecycle is every way through a server's life that the signals and the outcomes of what they ask for can take.
func TestLifecycle(t *testing.T) {
	serve := []event{committed, settled}
	for _, c := range []struct {
		name    string
		after   []event // what happened before, if it does not begin with committed, to a server that serves
		event   event
		verdict verdict
		phase   phase
		waiting []event // what waits then
	}{
		{name: "the start", after: []event{committed}, event: settled, verdict: act, phase: serving},
		{name: "a reload during the start waits", after: []event{committed}, event: reloadAsked, verdict: wait,
			phase: settling, waiting: []event{reloadAsked}},
		{name: "an upgrade during the start waits", after: []event{committed}, event: upgradeAsked, verdict: wait,
			phase: settling, waiting: []event{upgradeAsked}},
		{name: "a stop during the start", after: []event{committed}, event: stopAsked, verdict: act, phase: stopping},

		{name: "a reload", event: reloadAsked, verdict: act, phase: reloading},
		{name: "a reload is prepared", after: []event{reloadAsked}, event: prepared, verdict: act, phase: reloading},
		{name: "a reload is in force", after: []event{reloadAsked, prepared}, event: committed, verdict: act,
			phase: settling},
		{name: "a reload is refused", after: []event{reloadAsked}, event: refused, verdict: act, phase: serving},
		{name: "a reload is refused when it is put in force", after: []event{reloadAsked, prepared}, event: refused,
			verdict: act, phase: serving},
		{name: "a reload during a reload waits", after: []event{reloadAsked}, event: reloadAsked, verdict: wait,
			phase: reloading, waiting: []event{reloadAsked}},
		{name: "an upgrade after the reload that waits", after: []event{reloadAsked, reloadAsked}, event: upgradeAsked,
			verdict: wait, phase: reloading, waiting: []event{reloadAsked, upgradeAsked}},
		{name: "a reload that settles while the server stops",
			after: []event{reloadAsked, prepared, committed, stopAsked},
			event: settled, verdict: ignore, phase: stopping},
		{name: "a reload that is prepared while the server stops", after: []event{reloadAsked, stopAsked},
			event: prepared, verdict: refuse, phase: stopping},
		{name: "a reload that is prepared while the server drains", after: []event{reloadAsked, stopAsked, delayOver},
			event: prepared, verdict: refuse, phase: draining},
		{name: "a reload while the server stops", after: []event{stopAsked}, event: reloadAsked, verdict: refuse,
			phase: stopping},

		{name: "an upgrade", event: upgradeAsked, verdict: act, phase: upgrading},
		{name: "an upgrade succeeds", after: []event{upgradeAsked}, event: successorReady, verdict: act,
			phase: draining},
		{name: "an upgrade fails", after: []event{upgradeAsked}, event: successorFailed, verdict: act, phase: serving},
		{name: "a reload during an upgrade", after: []event{upgradeAsked}, event: reloadAsked, verdict: refuse,
			phase: upgrading},
		{name: "an upgrade during an upgrade", after: []event{upgradeAsked}, event: upgradeAsked, verdict: refuse,
			phase: upgrading},
		{name: "an upgrade after an upgrade", after: []event{upgradeAsked, successorReady}, event: upgradeAsked,
			verdict: refuse, phase: draining},
		{name: "a stop during an upgrade", after: []event{upgradeAsked}, event: stopAsked, verdict: act,
			phase: stopping},
		{name: "the new process is ready too late", after: []event{upgradeAsked, stopAsked}, event: successorReady,
			verdict: refuse, phase: stopping},
		{name: "the new process ends by the stop", after: []event{upgradeAsked, stopAsked}, event: successorFailed,
			verdict: ignore, phase: stopping},

		{name: "a stop", event: stopAsked, verdict: act, phase: stopping},
		{name: "the delay of a stop is over", after: []event{stopAsked}, event: delayOver, verdict: act,
			phase: draining},
		{name: "a second stop", after: []event{stopAsked}, event: stopAsked, verdict: act, phase: abandoned},
		{name: "a second stop while the server drains", after: []event{stopAsked, delayOver}, event: stopAsked,
			verdict: act, phase: abandoned},
		{name: "a stop after an upgrade", after: []event{upgradeAsked, successorReady}, event: stopAsked, verdict: act,
			phase: abandoned},

		{name: "the model fails", event: modelEnded, verdict: act, phase: draining},
		{name: "the model fails in the delay", after: []event{stopAsked}, event: modelEnded, verdict: act,
			phase: draining},
		{name: "the delay is over after that", after: []event{stopAsked, modelEnded}, event: delayOver, verdict: ignore,
			phase: draining},
		{name: "the model ends as it was told to", after: []event{stopAsked, delayOver}, event: modelEnded,
			verdict: ignore, phase: draining},
		{name: "the model fails during a reload", after: []event{reloadAsked}, event: modelEnded, verdict: act,
			phase: draining},
		{name: "the model fails during an upgrade", after: []event{upgradeAsked}, event: modelEnded, verdict: act,
			phase: rescuing},
		{name: "and the new process serves", after: []event{upgradeAsked, modelEnded}, event: successorReady,
			verdict: act, phase: draining},
		{name: "or fails too", after: []event{upgradeAsked, modelEnded}, event: successorFailed, verdict: act,
			phase: draining},
		{name: "or is not waited for", after: []event{upgradeAsked, modelEnded}, event: stopAsked, verdict: act,
			phase: abandoned},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l lifecycle
			before := c.after
			if len(before) == 0 || before[0] != committed {
				before = slices.Concat(serve, before)
			}
			for _, e := range before {
				if l.happen(e) == ignore {
					t.Fatalf("%v is ignored when %v", e, l.phase())
				}
			}
			if v := l.happen(c.event); v != c.verdict || l.phase() != c.phase {
				t.Errorf("%v: %v, then %v; want %v, then %v", c.event, v, l.phase(), c.verdict, c.phase)
			}
			for e := range numEvents {
				if got := l.resumes(e); got != slices.Contains(c.waiting, e) || l.resumes(e) {
					t.Errorf("%v waits: %v", e, got)
				}
			}
		})
	}
}

// TestLifecycleEnds: a phase that has begun the end never leads back, two signals end a server from wherever it is, a
// verdict to wait or to refuse leaves the phase, and each phase is reached.
func TestLifecycleEnds(t *testing.T) {
	reached := map[phase]bool{starting: true}
	for from, row := range transitions {
		from := phase(from)
		for e, next := range row {
			reached[next.to] = true
			if from >= stopping && next.to < stopping {
				t.Errorf("%v leads from %v back to %v", e, from, next.to)
			}
			if (next.do == wait || next.do == refuse) && next.to != from {
				t.Errorf("%v in %v: %v, and yet %v follows", e, from, next.do, next.to)
			}
			if next.do == ignore {
				t.Errorf("%v in %v is in the table to be ignored", e, from)
			}
		}
		if from == starting || from == abandoned {
			continue
		}
		var l lifecycle
		l.at.Store(int32(from))
		l.happen(stopAsked)
		if !l.ends() || l.serves() {
			t.Errorf("a stop in %v leads to %v", from, l.phase())
		}
		if l.happen(stopAsked); l.phase() != abandoned && from < stopping {
			t.Errorf("two stops in %v lead to %v", from, l.phase())
		}
	}
	for p := range numPhases {
		if !reached[p] {
			t.Errorf("nothing leads to %v", p)
		}
		var l lifecycle
		l.at.Store(int32(p))
		if want := p >= settling && p <= upgrading; l.serves() != want || l.ends() != (p >= stopping) {
			t.Errorf("%v: serves %v, ends %v", p, l.serves(), l.ends())
		}
	}
}
