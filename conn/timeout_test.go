package conn

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// due is when (Clock.Mono) the connection's timer runs out.
func (r *rig) due() int64 {
	phase, since := r.c.Phase()
	return since + int64(r.l.Config.Timeout(phase))
}

// wait lets the connection's timer run out and reports what it wants then.
func (r *rig) wait() Want {
	r.sleep(time.Duration(r.due() - r.l.Clock.Mono))
	return r.expire()
}

// overdue lets the time pass for which a job is waited for.
func (r *rig) overdue() (want Want) {
	for end := r.l.Clock.Mono + int64(r.l.Config.Deferred); ; {
		if want = r.wait(); r.l.Clock.Mono >= end {
			return want
		}
		if want != WantDeferred {
			r.tb.Fatal("it wants", want, "before the time is over")
		}
	}
}

func (r *rig) inPhase(want Phase) {
	r.tb.Helper()
	if phase, _ := r.c.Phase(); phase != want {
		r.tb.Fatalf("phase %d, want %d", phase, want)
	}
}

func (r *rig) feed(input string) { r.t.input = append(r.t.input, []byte(input)) }

func TestFirstByteTimeoutIsSilent(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t))
	r.run()
	r.inPhase(PhaseFirstByte)
	if !r.c.Idle() {
		t.Error("it is not idle")
	}
	if want := r.wait(); want != WantClose || len(r.t.out) != 0 || r.t.shut {
		t.Errorf("it wants %d and said %q", want, r.t.out)
	}
	r.release()
}

func TestIdleTimeoutIsSilent(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/a")))
	r.run()
	r.inPhase(PhaseIdle)
	said := len(r.t.out)
	start := r.l.Clock.Mono
	if want := r.wait(); want != WantClose || len(r.t.out) != said {
		t.Errorf("it wants %d and said %q", want, r.t.out[said:])
	}
	if took := r.l.Clock.Mono - start; took != int64(r.l.Config.KeepAlive) {
		t.Error("idle for", time.Duration(took))
	}
	r.release()
}

// What has arrived when a timer runs out is taken, though no event has said so: the process may have been stopped.
func TestWhatHasArrivedBeforeATimeout(t *testing.T) {
	for _, tt := range []struct {
		name, before, after string
		status              int
		phase               Phase
	}{
		{"first byte", "", get("/a"), 200, PhaseIdle},
		{"a head begins", "", "GET", 0, PhaseHead},
		{"idle", get("/a"), get("/a"), 200, PhaseIdle},
		{"the rest of a head", get("/a")[:9], get("/a")[9:], 200, PhaseIdle},
		{"not all of a head", get("/a")[:9], get("/a")[9:12], 408, PhaseLingering},
		{"the rest of a body", post("", "Content-Length: 2") + "x", "x", 200, PhaseIdle},
		{"some of a body", post("", "Content-Length: 2000"), strings.Repeat("x", 1000), 0, PhaseBody},
		{"not enough of a body", post("", "Content-Length: 2000"), "", 408, PhaseLingering},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, testConfig())
			r.start(newScript(t, tt.before))
			r.run()
			said := len(r.t.out)
			r.feed(tt.after)
			if r.wait(); r.c.want != WantRead {
				t.Errorf("it wants %d", r.c.want)
			}
			r.inPhase(tt.phase)
			status := 0
			if got := replies(t, r.t.out[said:]); len(got) > 0 {
				status = got[0].status
			}
			if status != tt.status || r.due() <= r.l.Clock.Mono {
				t.Errorf("answered with %d, want %d; due at %d, now %d", status, tt.status, r.due(), r.l.Clock.Mono)
			}
			r.release()
		})
	}
}

// The time in which the process was stopped is counted against no worker, which was stopped too, and against no peer
// whose acknowledgements nobody has looked at.
func TestStoppedWhileOthersWork(t *testing.T) {
	for path, tt := range map[string]struct {
		phase Phase
		want  Want
	}{"/defer/1": {PhaseDeferred, WantDeferred}, "/file": {PhaseSending, WantWrite}} {
		r := newRig(t, testConfig())
		s := newScript(t, get(path))
		s.room = 1000
		r.start(s)
		if want := r.step(); want != tt.want {
			t.Fatalf("%s: it wants %d", path, want)
		}
		r.inPhase(tt.phase)
		if tt.phase == PhaseDeferred {
			r.c.TakeJob()
		}
		r.sleep(time.Duration(r.due()-r.l.Clock.Mono) + time.Hour)
		if want := r.expire(); want != tt.want || r.due() != r.l.Clock.Mono+int64(r.l.Config.Timeout(tt.phase)) {
			t.Errorf("%s: an hour late it wants %d, and is due at %d, now %d", path, want, r.due(), r.l.Clock.Mono)
		}
		waits := 0 // and the next time it is as ever
		for want := tt.want; want == tt.want; want = r.wait() {
			if waits++; waits > 100 {
				t.Fatalf("%s: it never ends", path)
			}
		}
		r.release()
	}
}

func TestIdleTimeoutBeginsWithEachAnswer(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t))
	for range 3 {
		r.feed(get("/a"))
		r.run()
		if phase, since := r.c.Phase(); phase != PhaseIdle || since != r.l.Clock.Mono {
			t.Errorf("phase %d since %d, now %d", phase, since, r.l.Clock.Mono)
		}
		r.sleep(time.Minute)
	}
	r.release()
}

func TestHeadTimeoutIs408(t *testing.T) { // RFC 9110 section 15.5.9
	for _, first := range []string{"", get("/a")} {
		r := newRig(t, testConfig())
		r.start(newScript(t, first+"GET /b HTTP/1.1\r\nHo"))
		r.run()
		r.inPhase(PhaseHead)
		r.l.turnRequests, r.l.turnBytes = 0, -1 // another connection's turn is spent
		want := r.wait()
		got := replies(t, r.t.out)
		last := got[len(got)-1]
		if want != WantRead || last.status != 408 || !last.closes() || !r.t.shut {
			t.Errorf("it wants %d: %q", want, r.t.out)
		}
		r.inPhase(PhaseLingering)
		r.release()
	}
}

// A deadline is never refreshed by trickled bytes.
func TestTrickledHeadIsCutOnTime(t *testing.T) {
	for _, turn := range []int64{0, 1, 3} { // also when every byte ends a turn
		cfg := testConfig()
		cfg.TurnBytes = turn
		r := newRig(t, cfg)
		head := get("/a", strings.Repeat("X: y\r\n", 50)+"Z: z")
		r.start(newScript(t, head[:1]))
		r.run()
		start := r.l.Clock.Mono
		for i := 1; ; i++ {
			phase, since := r.c.Phase()
			if phase != PhaseHead || since != start {
				t.Fatalf("turns of %d: phase %d since %d, want a head since %d", turn, phase, since, start)
			}
			if r.l.Clock.Mono-since >= int64(cfg.Head) {
				break
			}
			r.sleep(time.Second / 3)
			r.feed(head[i : i+1])
			r.run()
		}
		r.expire()
		for r.c.want == WantYield {
			r.step()
		}
		if got := replies(t, r.t.out); len(got) != 1 || got[0].status != 408 {
			t.Errorf("turns of %d: %q", turn, r.t.out)
		}
		r.release()
	}
}

func TestBodyTimeoutGrowsWithTheBody(t *testing.T) {
	for _, tt := range []struct {
		name  string
		every time.Duration // a byte of content
		burst int           // bytes at once
		cutAt time.Duration // and a bit, for what has arrived by then
	}{
		{"nothing arrives", 0, 0, 20 * time.Second},
		{"100 bytes, then silence", 19 * time.Second, 100, 20 * time.Second},
		{"a byte a second", time.Second, 1, 20 * time.Second},
		{"500 bytes every two seconds", 2 * time.Second, 500, 38 * time.Second},
		{"1000 bytes a second", time.Second, 1000, 0},
	} {
		for _, framing := range []string{"Content-Length: 60000", chunked} {
			t.Run(tt.name+" "+framing, func(t *testing.T) {
				r := newRig(t, testConfig())
				r.start(newScript(t, post("", framing)))
				if framing == chunked {
					r.feed("ea60\r\n") // 60000
				}
				r.run()
				r.inPhase(PhaseBody)
				start, fed, sent := r.l.Clock.Mono, time.Duration(0), 0
				for sent < 59000 && !r.t.shut {
					if fed += tt.every; tt.every > 0 && start+int64(fed) < r.due() {
						r.l.Clock.Mono = start + int64(fed)
						r.feed(strings.Repeat("x", tt.burst))
						sent += tt.burst
						r.run()
						continue
					}
					fed -= tt.every
					r.wait()
				}
				if tt.cutAt == 0 {
					if r.t.shut {
						t.Error("cut after", time.Duration(r.l.Clock.Mono-start))
					}
					r.release()
					return
				}
				want := r.l.Config.Body + time.Duration(sent)*time.Second/bodyRate
				if took := time.Duration(r.l.Clock.Mono - start); took != want || took < tt.cutAt ||
					took > tt.cutAt+time.Second {
					t.Errorf("cut after %v, want %v for %d bytes", took, want, sent)
				}
				got := replies(t, r.t.out)
				if len(got) != 1 || got[0].status != 408 || !strings.Contains(got[0].body, "timeouts.body") {
					t.Errorf("said %q", r.t.out)
				}
				if want := fmt.Sprintf("/p 408 %d", len(got[0].body)); r.log.lines[0] != want {
					t.Errorf("logged %q, want %q", r.log.lines, want)
				}
				r.release()
			})
		}
	}
}

// The time of the head is not taken from the body's.
func TestBodyTimeoutBeginsWithTheBody(t *testing.T) {
	r := newRig(t, testConfig())
	head := post("", "Content-Length: 5000")
	r.start(newScript(t, head[:10]))
	r.run()
	r.sleep(9 * time.Second)
	r.feed(head[10:])
	r.run()
	r.feed(strings.Repeat("x", 5*bodyRate)) // worth 5 s
	r.run()
	if r.wait(); r.t.shut {
		t.Error("cut after", r.l.Config.Body)
	}
	if r.wait(); !r.t.shut {
		t.Error("not cut after", 2*r.l.Config.Body)
	}
	r.release()
}

// sending starts a download and has the peer take its first bytes.
func sending(t *testing.T) *rig {
	r := newRig(t, testConfig())
	s := newScript(t, get("/file"))
	s.room = 10000
	r.start(s)
	if want := r.run(); want != WantWrite {
		t.Fatal("it wants", want)
	}
	r.inPhase(PhaseSending)
	return r
}

func TestSendTimeout(t *testing.T) {
	for _, unacked := range []int{-1, 5000} {
		r := sending(t)
		r.t.unacked = unacked
		start := r.l.Clock.Mono
		var want Want
		for want = WantWrite; want == WantWrite; want = r.wait() {
			if r.l.Clock.Mono-start > int64(time.Hour) {
				t.Fatal("never closed")
			}
		}
		took := time.Duration(r.l.Clock.Mono - start)
		if limit := r.l.Config.Send; want != WantClose || took < limit ||
			took > limit+r.l.Config.Timeout(PhaseSending) {
			t.Errorf("unacked %d: it wants %d after %v", unacked, want, took)
		}
		if r.t.unackedAsk == 0 || r.t.unackedAsk > looks+2 {
			t.Error("Unacked was asked", r.t.unackedAsk, "times")
		}
		r.release()
	}
}

// A slow download is never cut: each of the two signs of progress will do.
func TestSlowDownloadIsNotCut(t *testing.T) {
	for name, progress := range map[string]func(r *rig, check int){
		"a byte is sent every 90 s": func(r *rig, check int) {
			if check%3 == 0 {
				r.t.room = 1
				r.step()
			}
		},
		"a byte is acknowledged every 90 s": func(r *rig, check int) {
			if check%3 == 0 {
				r.t.unacked--
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := sending(t)
			r.t.unacked = 5000
			for check := range 200 {
				progress(r, check)
				if want := r.wait(); want != WantWrite {
					t.Fatalf("it wants %d at check %d", want, check)
				}
			}
			r.release()
		})
	}
}

// Events without progress are none.
func TestSendTimeoutIsNotRefreshedByEvents(t *testing.T) {
	r := sending(t)
	start := r.l.Clock.Mono
	for r.l.Clock.Mono-start < int64(time.Hour) {
		if r.step() != WantWrite {
			t.Fatal("it wants", r.c.want)
		}
		if r.wait() == WantClose {
			break
		}
	}
	if took := time.Duration(r.l.Clock.Mono - start); took > r.l.Config.Send+r.l.Config.Timeout(PhaseSending) {
		t.Error("closed after", took)
	}
	r.release()
}

// lingerOn sends a byte every four seconds until the connection is to be closed, and returns how long that took.
func (r *rig) lingerOn() time.Duration {
	start := r.l.Clock.Mono
	for r.c.want != WantClose && r.l.Clock.Mono-start < int64(time.Hour) {
		r.inPhase(PhaseLingering)
		if next := r.l.Clock.Mono + int64(4*time.Second); next >= r.due() {
			r.wait()
			continue
		}
		r.sleep(4 * time.Second)
		r.feed("x")
		r.run()
	}
	return time.Duration(r.l.Clock.Mono - start)
}

func TestLingering(t *testing.T) { // RFC 9112 section 9.6
	lingering := func(t *testing.T, eof bool) *rig {
		r := newRig(t, testConfig())
		r.start(newScript(t, get("/close")+"x"))
		r.t.eof = eof
		r.run()
		return r
	}
	t.Run("the peer closes", func(t *testing.T) {
		r := lingering(t, true)
		if r.c.want != WantClose || !r.t.shut {
			t.Error("it wants", r.c.want)
		}
		r.release()
	})
	t.Run("the close has to wait", func(t *testing.T) {
		r := newRig(t, testConfig())
		r.start(newScript(t, get("/close")))
		const closeWrite = 2 // behind a Recv and a Send
		r.t.fault = func(call int) fault { return map[int]fault{closeWrite: again}[call] }
		if want := r.step(); want != WantWrite || r.t.shut {
			t.Fatal("it wants", want)
		}
		r.inPhase(PhaseSending)
		r.run()
		r.inPhase(PhaseLingering)
		if !r.t.shut {
			t.Error("not shut for writing")
		}
		r.release()
	})
	t.Run("5 s idle", func(t *testing.T) {
		r := lingering(t, false)
		r.inPhase(PhaseLingering)
		if r.wait() != WantClose || r.l.Clock.Mono != int64(time.Second+lingerIdle) {
			t.Error("it wants", r.c.want, "at", r.l.Clock.Mono)
		}
		r.release()
	})
	t.Run("30 s in all", func(t *testing.T) {
		r := lingering(t, false)
		if took := r.lingerOn(); took != lingerTotal {
			t.Error("closed after", took)
		}
		r.release()
	})
	t.Run("64 KiB", func(t *testing.T) {
		r := lingering(t, false)
		for range 100 {
			if r.c.want == WantClose {
				break
			}
			r.feed(strings.Repeat("x", 1000))
			r.run()
		}
		if r.c.want != WantClose || r.t.recvAfter < lingerBytes || r.t.recvAfter > lingerBytes+1000 {
			t.Errorf("it wants %d, took %d bytes", r.c.want, r.t.recvAfter)
		}
		r.release()
	})
}

func TestDeferredTimeoutIs503(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/a")+get("/defer/1")+get("/b")))
	for r.step() != WantDeferred {
	}
	if n := len(replies(t, r.t.out)); n != 1 {
		t.Fatal(n, "answers before the deferral ends")
	}
	r.inPhase(PhaseDeferred)
	job, ticket, must := r.c.TakeJob()
	if must {
		t.Error("the job must not be refused")
	}
	r.overdue()
	r.run()
	got := replies(t, r.t.out)
	if len(got) != 3 || got[1].status != 503 || !strings.Contains(got[1].fields, "\r\nRetry-After: ") ||
		got[2].body != "GET /b" {
		t.Errorf("said %q", r.t.out)
	}
	result := job.Run(nil)
	if r.c.Resume(ticket, result, nil) {
		t.Fatal("a late result was taken")
	}
	result.Release() // it is still the caller's
	r.release()
}

// A late result does not reach the next request that was put off.
func TestLateResultMissesTheNextDeferral(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/defer/1")+get("/defer/1")))
	for r.step() != WantDeferred {
	}
	job, ticket, _ := r.c.TakeJob()
	if want := r.overdue(); want != WantDeferred {
		t.Fatal("it wants", want)
	}
	late := &counted{refs: 1}
	if r.c.Resume(ticket, late, nil) {
		t.Error("the late result was taken before the next job was")
	}
	_, next, _ := r.c.TakeJob()
	if r.c.Resume(ticket, late, nil) {
		t.Error("the late result was taken for the next one")
	}
	if !r.c.Resume(next, job.Run(nil), nil) {
		t.Error("the right result was not taken")
	}
	r.run()
	if got := replies(t, r.t.out); len(got) != 2 || got[0].status != 503 || got[1].body != "deferred" {
		t.Errorf("said %q", r.t.out)
	}
	r.release()
}

// In the middle of a body there is no status left to say it with.
func TestDeferredTimeoutWithinABodyCloses(t *testing.T) {
	r := newRig(t, testConfig())
	s := newScript(t, get("/file"))
	s.cold = map[int64]bool{fileTurn: true}
	r.start(s)
	for r.step() != WantDeferred {
	}
	job, ticket, must := r.c.TakeJob()
	if !must {
		t.Error("the job may be refused")
	}
	if want := r.overdue(); want != WantClose {
		t.Fatal("it wants", want)
	}
	r.c.Release(r.l)
	r.started = false
	result := job.Run(nil)
	if r.c.Resume(ticket, result, nil) {
		t.Error("a late result was taken")
	}
	result.Release()
	r.release()
}

// While a job is waited for, the peer is looked for: it may have gone, or have closed its side and wait.
func TestPeerIsLookedForWhileDeferred(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/defer/1")))
	for r.step() != WantDeferred {
	}
	if _, waits := r.c.Awaits(); waits {
		t.Error("it awaits a job that nobody has taken")
	}
	_, ticket, _ := r.c.TakeJob()
	for _, r.t.hangup = range []hangup{noHangup, halfClosed} {
		if want := r.wait(); want != WantDeferred || r.c.Doubtful() != (r.t.hangup == halfClosed) {
			t.Errorf("it wants %v, doubtful %v", want, r.c.Doubtful())
		}
	}
	if now, waits := r.c.Awaits(); !waits || now != ticket {
		t.Error("it does not await its job")
	}
	r.t.hangup = resetByPeer
	if want := r.wait(); want != WantClose {
		t.Error("it wants", want, "though its peer is gone")
	}
	r.release()
}

// Each part of a cold file has its own time: a download longer than Config.Deferred goes on.
func TestDeferredTimeoutIsOfEachJob(t *testing.T) {
	for _, target := range []string{"/file", "/defer/4"} {
		r := newRig(t, testConfig())
		s := newScript(t, get(target))
		s.cold = map[int64]bool{0: true, fileTurn: true}
		r.start(s)
		jobs := 0
		for {
			want := r.step()
			if want == WantRead && s.starved {
				break
			}
			if want != WantDeferred {
				continue
			}
			jobs++
			if _, since := r.c.Phase(); since != r.l.Clock.Mono {
				t.Errorf("%s: job %d has been waited for since %d, now %d", target, jobs, since, r.l.Clock.Mono)
			}
			r.sleep(r.l.Config.Deferred - time.Second)
			r.work()
		}
		if got := replies(t, r.t.out); jobs < 2 || len(got) != 1 || got[0].status != 200 {
			t.Errorf("%s: %d jobs, %d answers", target, jobs, len(got))
		}
		r.release()
	}
}

// A connection in the ready queue waits for its loop and is not to blame.
func TestTimerOfAYieldedConnection(t *testing.T) {
	cfg := testConfig()
	cfg.TurnRequests = 1
	r := newRig(t, cfg)
	r.start(newScript(t, strings.Repeat(get("/a"), 3)))
	for answered := 0; answered < 3; {
		if want := r.step(); want != WantYield {
			t.Fatal("it wants", want)
		}
		if r.c.in != nil && r.c.Idle() {
			t.Error("idle with requests to answer")
		}
		if want := r.wait(); want != WantYield {
			t.Fatal("after its time it wants", want)
		}
		if _, since := r.c.Phase(); since != r.l.Clock.Mono {
			t.Error("its timer was not started anew")
		}
		answered = len(replies(t, r.t.out))
	}
	r.run()
	r.release()
}

// In every state a timer that ran out leads to a close or starts anew, else a loop would spin on it.
func TestTimersNeverRunOutForEver(t *testing.T) {
	for i := range scenarios {
		s := &scenarios[i]
		t.Run(s.name, func(t *testing.T) {
			r := s.play(t, []string{s.send}, nil)
			if r.c.want != WantClose {
				for checks := 1; r.wait() != WantClose; checks++ {
					if r.due() <= r.l.Clock.Mono {
						t.Fatal("the timer was not started anew")
					}
					if checks == 100 {
						t.Fatal("never closed")
					}
				}
			}
			r.release()
		})
	}
}

// Zero is no limit. Whoever waits for a job is looked for all the same.
func TestNoTimeouts(t *testing.T) {
	cfg := &Config{}
	for phase := range NumPhases {
		if d := cfg.Timeout(phase); d != 0 && phase != PhaseLingering && phase != PhaseDeferred {
			t.Errorf("phase %d: %v", phase, d)
		}
	}
}

func TestBusyIs503(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/defer/1")+get("/b")))
	for r.step() != WantDeferred {
	}
	_, ticket, _ := r.c.TakeJob()
	if !r.c.Resume(ticket, nil, ErrBusy) {
		t.Fatal("the refusal was not wanted")
	}
	r.run()
	got := replies(t, r.t.out)
	if len(got) != 2 || got[0].status != 503 || !strings.Contains(got[0].fields, "\r\nRetry-After: ") ||
		got[1].status != 200 {
		t.Errorf("said %q", r.t.out)
	}
	r.release()
}

func TestWarmErrorCloses(t *testing.T) {
	for name, resume := range map[string]func(r *rig, job Job, ticket uint32) bool{
		"the read failed": func(r *rig, job Job, ticket uint32) bool {
			job.(*warmJob).err = io.ErrClosedPipe
			return r.c.Resume(ticket, job.(Result), nil)
		},
		"the job was refused": func(r *rig, job Job, ticket uint32) bool {
			job.(Result).Release()
			return r.c.Resume(ticket, nil, ErrBusy)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, testConfig())
			s := newScript(t, get("/file")+get("/b"))
			s.cold = map[int64]bool{fileTurn: true}
			r.start(s)
			for r.step() != WantDeferred {
			}
			job, ticket, _ := r.c.TakeJob()
			if !resume(r, job, ticket) {
				t.Fatal("it was not wanted")
			}
			if want := r.step(); want != WantClose {
				t.Error("it wants", want)
			}
			r.release()
			if want := fmt.Sprintf("/file 200 %d", fileTurn); len(r.log.lines) != 1 || r.log.lines[0] != want {
				t.Errorf("logged %q, want %q", r.log.lines, want)
			}
		})
	}
}

// A connection that ends while it waits frees what it holds, taken job or not.
func TestReleaseWhileDeferred(t *testing.T) {
	for _, target := range []string{"/defer/2", "/file", "/source"} {
		for _, taken := range []bool{false, true} {
			r := newRig(t, testConfig())
			s := newScript(t, get(target)+get("/b"))
			s.cold = map[int64]bool{0: true}
			r.start(s)
			want := r.step()
			if taken && want == WantDeferred {
				job, ticket, _ := r.c.TakeJob()
				result := job.Run(nil)
				r.c.Release(r.l)
				r.started = false
				if r.c.Resume(ticket, result, nil) {
					t.Error("a result was taken by a connection that is gone")
				}
				result.Release()
			}
			r.release()
		}
	}
}

// A source that goes on and on takes no more room for it.
func TestLongSourceTakesNoRoom(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/source")))
	for r.step() != WantSource {
	}
	src := r.c.out.segs[r.c.out.first].source.(*tap)
	for range 100_000 {
		src.parts = append(src.parts, "more")
	}
	for range 1000 {
		r.step()
	}
	if n := cap(r.c.out.segs); n > segmentsMax {
		t.Error("room for", n, "segments")
	}
	r.release()
}

func TestAccessIsOfTheWallClock(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, get("/a")))
	r.run()
	if got := replies(t, r.t.out)[0].fields; !strings.Contains(got, "\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n") {
		t.Errorf("fields %q", got) // RFC 9110 section 5.6.7 has this very second
	}
	if r.l.access.Wall != r.l.Clock.Wall {
		t.Error("logged at", r.l.access.Wall)
	}
	r.sleep(time.Second)
	r.feed(get("/a"))
	r.run()
	if got := replies(t, r.t.out)[1].fields; !strings.Contains(got, "08:49:38 GMT") {
		t.Errorf("a second later: %q", got)
	}
	r.release()
}

// RFC 9110 section 9.3.2: the answer to HEAD has no body, also when its head does not come to an end.
func TestHeadTimeoutOfHEADHasNoBody(t *testing.T) {
	for head, bodies := range map[string]bool{
		"HEA": true, "HEAD": true, "HEAD ": false, "HEAD /a HTTP/1.1\r\nHost: h": false, "GET /": true,
	} {
		r := newRig(t, testConfig())
		r.start(newScript(t, head))
		r.run()
		r.inPhase(PhaseHead)
		r.wait()
		_, body, _ := strings.Cut(string(r.t.out), "\r\n\r\n")
		if !strings.HasPrefix(string(r.t.out), "HTTP/1.1 408 ") || (body != "") != bodies {
			t.Errorf("%q: %q", head, r.t.out)
		}
		r.release()
	}
}
