package daemon

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/internal/grace"
	"github.com/evhttpd/evhttpd/internal/listener"
)

// stop begins the end: the server is not ready from now on, and drains after a delay in which those that ask whether
// it is ready learn that. If the end has begun before, it is to end at once, which run does.
func (s *Server) stop() {
	s.stoppedAt = time.Now()
	s.happen(stopAsked)
	if s.phase() == abandoned {
		return
	}
	s.starting.End()
	delay := s.cfg.Timeouts.DrainDelay
	if delay <= 0 {
		s.endDelay()
		return
	}
	s.sayStopping(fmt.Sprintf("stopping: not ready, and accepting for another %v", delay))
	time.AfterFunc(delay, func() { s.post(s.endDelay) })
}

// endDelay drains the server, unless its model has failed meanwhile.
func (s *Server) endDelay() {
	if s.happen(delayOver) == act {
		s.drain()
	}
}

func (s *Server) sayStopping(text string) {
	s.notify.Stopping(text)
	s.events.Say(zap.InfoLevel, text+"; a second signal stops at once")
}

// drain lets requests in flight finish.
func (s *Server) drain() {
	s.sayStopping(fmt.Sprintf("stopping: %s may finish within %v",
		counted(int(s.shared.open.Load()), "connection"), s.cfg.Timeouts.Drain))
	s.beginDrain()
}

func (s *Server) beginDrain() {
	go func(patience time.Duration) {
		s.models.drain(patience)
		s.post(func() {
			if s.phase() != rescuing { // in which the new process accepts from the listeners
				s.closeListeners() // late clients are refused at once, not kept waiting
			}
		})
	}(s.cfg.Timeouts.Drain)
}

// modelEnded notes the end of a model. If it is the one in use, it has failed: nothing accepts any more.
func (s *Server) modelEnded(m *runningModel) {
	s.ended.Idle += m.ended.Idle
	s.ended.Cut += m.ended.Cut
	s.ended.Err = errors.Join(s.ended.Err, m.ended.Err)
	s.models.remove(m)
	if m == s.model && s.happen(modelEnded) == act {
		s.beginDrain()
	}
}

// cut ends the server at once, by a second signal. The listeners are closed when the loops have left them: else a
// loop would accept from a descriptor that is closed, or is another file's by then.
func (s *Server) cut(sig os.Signal) error {
	all, sum := s.models.list(), make(chan int, 1)
	ended := grace.Finishes(func() {
		s.models.drain(0)
		n := 0
		for _, m := range all {
			n += m.server.Wait().Cut
		}
		sum <- n
	}, grace.Close)
	if !ended {
		s.removeFiles()
		return fmt.Errorf("stopped at once by a second signal (%v), though something that serves does not end: "+
			"connections in flight were cut", sig)
	}
	s.closeListeners()
	return fmt.Errorf("stopped at once by a second signal (%v), which cut %s within a request",
		sig, counted(s.ended.Cut+<-sum, "connection"))
}

// removeFiles is closeListeners while something may accept from them still: the sockets end with the process.
func (s *Server) removeFiles() {
	if !s.others() {
		for _, l := range s.listeners {
			if err := l.RemoveFile(); err != nil {
				s.events.Warn("removing a Unix socket", zap.Error(err))
			}
		}
	}
	s.listeners = nil
}

// closeListeners stops listening, once. The files of Unix sockets stay if another process serves there.
func (s *Server) closeListeners() {
	if err := listener.Close(s.listeners, nil, !s.others()); err != nil {
		s.events.Warn("closing the listeners", zap.Error(err))
	}
	s.listeners = nil
}

// close frees what is open, after the server has ended.
func (s *Server) close() {
	close(s.closed)
	s.endProcesses()
	defer s.closeAdmin() // the last that can tell what holds up the end
	s.closeListeners()
	if s.sites != nil {
		s.sites.Close()
	}
	// After a second signal, jobs that hang are not waited for.
	if s.pool != nil && s.phase() != abandoned && !grace.Finishes(s.pool.Close, grace.Close) {
		s.events.Warn("work on a file system that does not answer is given up")
	}
	if !grace.Finishes(s.replaced.Wait, grace.Close) {
		s.events.Warn("what a reload has replaced is given up")
	}
	if s.access != nil {
		if err := s.access.Close(); err != nil {
			s.events.Error("closing the access log", zap.Error(err))
		}
	}
}
