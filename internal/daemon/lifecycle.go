package daemon

import "sync/atomic"

// phase is where a server is in its life. docs/architecture.md has a picture of it.
type phase int32

const (
	starting  phase = iota // nothing serves yet
	settling               // a configuration is in force; loops learn of it, and what it replaces is closed
	serving                // nothing is about to change
	reloading              // the next configuration is read and prepared
	upgrading              // a new process starts, which is to take this one's place
	stopping               // told to stop; it accepts for a while, so that load balancers learn of it first
	draining               // requests in flight may finish, and nothing is accepted
	rescuing               // the IO model has failed while a new process starts, which may take over
	abandoned              // told to stop at once: what has not ended is not waited for
	numPhases
)

// event is what happens to a server.
type event int

const (
	reloadAsked     event = iota // SIGHUP
	upgradeAsked                 // SIGUSR2
	stopAsked                    // SIGTERM, SIGINT
	prepared                     // all that the next configuration needs is open
	refused                      // the next configuration cannot be used
	committed                    // a configuration is in force
	settled                      // everything that serves knows the configuration in force
	successorReady               // the new process serves
	successorFailed              // the new process does not come to serve
	delayOver                    // timeouts.drain_delay has passed
	modelEnded                   // the IO model in use has ended by itself
	numEvents
)

// verdict says what is to be done about an event.
type verdict int

const (
	ignore verdict = iota // it changes nothing in this phase
	act                   // what was asked for, or what follows, is done
	wait                  // it is done in the next phase in which that is possible
	refuse                // it is not done, and what was made for it is undone
)

// transition is the next phase, and what is done.
type transition struct {
	to phase
	do verdict
}

// transitions has what may happen in each phase. Any other event leaves the phase as it is and is ignored.
var transitions = [numPhases]map[event]transition{
	starting: {
		committed: {settling, act},
	},
	settling: {
		settled:      {serving, act},
		reloadAsked:  {settling, wait},
		upgradeAsked: {settling, wait},
		stopAsked:    {stopping, act},
		modelEnded:   {draining, act},
	},
	serving: {
		reloadAsked:  {reloading, act},
		upgradeAsked: {upgrading, act},
		stopAsked:    {stopping, act},
		modelEnded:   {draining, act},
	},
	reloading: {
		prepared:     {reloading, act}, // committed or refused follows
		committed:    {settling, act},
		refused:      {serving, act},
		reloadAsked:  {reloading, wait},
		upgradeAsked: {reloading, wait},
		stopAsked:    {stopping, act},
		modelEnded:   {draining, act},
	},
	upgrading: {
		successorReady:  {draining, act},
		successorFailed: {serving, act},
		reloadAsked:     {upgrading, refuse},
		upgradeAsked:    {upgrading, refuse},
		stopAsked:       {stopping, act},
		modelEnded:      {rescuing, act},
	},
	stopping: {
		delayOver:      {draining, act},
		prepared:       {stopping, refuse},
		successorReady: {stopping, refuse},
		reloadAsked:    {stopping, refuse},
		upgradeAsked:   {stopping, refuse},
		stopAsked:      {abandoned, act},
		modelEnded:     {draining, act},
	},
	draining: {
		prepared:       {draining, refuse},
		successorReady: {draining, refuse},
		reloadAsked:    {draining, refuse},
		upgradeAsked:   {draining, refuse},
		stopAsked:      {abandoned, act},
	},
	rescuing: {
		successorReady:  {draining, act},
		successorFailed: {draining, act},
		reloadAsked:     {rescuing, refuse},
		upgradeAsked:    {rescuing, refuse},
		stopAsked:       {abandoned, act},
	},
}

// lifecycle is the phase of a server, and what waits for a later one. Events are for one goroutine; the phase may be
// asked for by any.
type lifecycle struct {
	at      atomic.Int32
	waiting [numEvents]bool
}

// phase returns the phase that the server is in.
func (l *lifecycle) phase() phase { return phase(l.at.Load()) }

// ends reports whether the server is about to end.
func (l *lifecycle) ends() bool { return l.phase() >= stopping }

// serves reports whether the server takes clients and is to go on.
func (l *lifecycle) serves() bool { return l.phase() != starting && !l.ends() }

// verdict says what is to be done about an event in this phase.
func (l *lifecycle) verdict(e event) verdict { return transitions[l.phase()][e].do }

// happen moves on to the phase that follows by an event, and says what is to be done about the event.
func (l *lifecycle) happen(e event) verdict {
	t, ok := transitions[l.phase()][e]
	if !ok {
		return ignore
	}
	if t.do == wait {
		l.waiting[e] = true
	}
	l.at.Store(int32(t.to))
	return t.do
}

// resumes reports whether an event has waited for this phase, and forgets it.
func (l *lifecycle) resumes(e event) bool {
	waits := l.waiting[e]
	l.waiting[e] = false
	return waits
}
