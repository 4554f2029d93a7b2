//go:build unix

package reactor

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evhttpd/evhttpd/conn"
)

// TestTimersAgainstAModel compares the lists with a map that is searched.
func TestTimersAgainstAModel(t *testing.T) {
	cfg := testConfig()
	cfg.FirstByte, cfg.Head, cfg.Deferred, cfg.KeepAlive = 7, 5, 0, 11
	cfg.Body, cfg.Send = 3, 13
	rapid.Check(t, func(t *rapid.T) {
		type timer struct {
			phase        conn.Phase
			since, order int64
		}
		var slab slab
		var timers timers
		timers.init(cfg)
		model := map[*slot]timer{}
		var slots []*slot
		now, order := int64(1), int64(0)
		oldest := func(phase conn.Phase) (first *slot) {
			for s, m := range model {
				if m.phase != phase {
					continue
				}
				if first == nil || m.since < model[first].since ||
					m.since == model[first].since && m.order < model[first].order {
					first = s
				}
			}
			return first
		}
		pick := func(t *rapid.T) *slot {
			if len(slots) == 0 {
				t.Skip("no slots")
			}
			return slots[rapid.IntRange(0, len(slots)-1).Draw(t, "slot")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(*rapid.T) { slots = append(slots, slab.take()) },
			"set": func(t *rapid.T) {
				s := pick(t)
				phase := conn.Phase(rapid.IntRange(0, int(conn.NumPhases)-1).Draw(t, "phase"))
				since := now
				if inHeap[phase] {
					since += rapid.Int64Range(-9, 9).Draw(t, "earlier or later")
				}
				timers.set(&slab, s, phase, since)
				if m, ok := model[s]; !ok || m.phase != phase || m.since != since {
					order++
					model[s] = timer{phase, since, order}
				}
			},
			"keep": func(t *rapid.T) { // a turn that did not change the phase
				if s := pick(t); s.phase != conn.NumPhases {
					timers.set(&slab, s, s.phase, s.since)
				}
			},
			"free": func(t *rapid.T) {
				s := pick(t)
				timers.unset(&slab, s)
				slab.put(s)
				delete(model, s)
				for i := range slots {
					if slots[i] == s {
						slots = append(slots[:i], slots[i+1:]...)
						break
					}
				}
			},
			"pass": func(t *rapid.T) { now += rapid.Int64Range(0, 6).Draw(t, "time") },
			"": func(t *rapid.T) {
				var want int64
				late := false
				for phase := range conn.NumPhases {
					first := oldest(phase)
					got := timers.oldest(&slab, phase)
					alike := got != nil && first != nil && inHeap[phase] && got.phase == phase &&
						got.since == first.since
					if got != first && !alike {
						t.Fatalf("the oldest in phase %d is %p, not %p", phase, got, first)
					}
					timeout := int64(cfg.Timeout(phase))
					if first == nil || timeout == 0 {
						continue
					}
					at := model[first].since + timeout
					late = late || at <= now
					if want == 0 || at < want {
						want = at
					}
				}
				switch s, next := timers.due(&slab, now); {
				case late && (s == nil || s.since+int64(cfg.Timeout(s.phase)) > now):
					t.Fatalf("at %d a timer is due, %v was found", now, s)
				case !late && (s != nil || next != want):
					t.Fatalf("at %d the next timer is due at %d, not at %d (found %v)", now, next, want, s)
				}
			},
		})
	})
}

// TestEveryTimerFires waits, for each class, for the end that a short timeout brings.
func TestEveryTimerFires(t *testing.T) {
	const short = 20 * time.Millisecond
	cases := []struct {
		name   string
		config func(c *conn.Config)
		act    func(s *server, c *client)
	}{
		{"first byte: closed silently", func(c *conn.Config) { c.FirstByte = short },
			func(_ *server, c *client) { c.expectEnd(false) }},
		{"head: 408", func(c *conn.Config) { c.Head = short },
			func(_ *server, c *client) {
				c.send("GET / HTTP/1.1\r\nHo").expect(408)
				c.expectEnd(false)
			}},
		{"head of a second request: 408", func(c *conn.Config) { c.Head = short },
			func(_ *server, c *client) {
				c.send(get("/small")).expect(200)
				c.send("GET / HTTP/1.1\r\nHo").expect(408)
				c.expectEnd(false)
			}},
		{"body: 408", func(c *conn.Config) { c.Body = short },
			func(_ *server, c *client) {
				c.send("GET /small HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n1").expect(408)
				c.expectEnd(false)
			}},
		{"sending: closed", func(c *conn.Config) { c.Send = short },
			func(s *server, c *client) {
				c.send(get("/huge"))
				s.until("it is sent", func(*Loop) bool { return s.answers.served.Load() == 1 })
				s.empty()
			}},
		{"deferred: 503", func(c *conn.Config) { c.Deferred = short },
			func(_ *server, c *client) {
				if a := c.send(get("/defer/1")).expect(503); a.fields.Get("Retry-After") == "" {
					c.t.Error("no Retry-After")
				}
			}},
		{"idle: closed", func(c *conn.Config) { c.KeepAlive = short },
			func(_ *server, c *client) {
				c.send(get("/small")).expect(200)
				c.expectEnd(false)
			}},
	}
	eachVariant(t, func(t *testing.T, v variant) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				s := start(t, v, overUnix, withConfig(c.config), withAnswers(func(a *answers) {
					a.job = func(string) conn.Result { <-release; return find("late") }
				}))
				client := s.dial()
				c.act(s, client)
				client.Close()
				s.empty()
			})
		}
	})
}

// TestLingeringEnds: a peer that neither reads nor closes is left alone after
// lingerIdle (5 s), which no configuration shortens.
func TestLingeringEnds(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v)
		c := s.dial()
		c.send("no request\n\n").expect(400)
		s.wants(conn.WantRead, conn.PhaseLingering)
		// The clock is moved on rather than waited for.
		s.on(0, func(l *Loop) { age(l, time.Minute) })
		s.empty()
	})
}
