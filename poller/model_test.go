//go:build unix

package poller

import (
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// Random sequences of calls and of what peers do, against a model that asks
// poll(2) for the truth. A false event is allowed, a missed one is not:
// level, whatever poll(2) says is ready must be in every batch; edge, whatever
// became ready since it was last reported (or was ready when added or modified)
// must be in the next.

const modelSlots = 4

// modelSlot is one connection, or none while its descriptors are -1.
type modelSlot struct {
	ours, peers int
	registered  bool
	finished    bool // the peer has ended its side
	generation  uint32
	want        Interest
	owed        Ready // edge: to be reported by the next Wait, if still ready
}

type model struct {
	t     *testing.T
	s     *subject
	slots [modelSlots]modelSlot
}

func (m *model) token(i int) Token {
	return Token(m.slots[i].generation)<<32 | Token(i)
}

// truth is what poll(2) says of a slot's descriptor, as far as it is wanted.
func (m *model) truth(i int) (ready Ready) {
	slot := &m.slots[i]
	if !slot.registered {
		return 0
	}
	fds := []unix.PollFd{{Fd: int32(slot.ours), Events: unix.POLLIN | unix.POLLOUT}}
	if _, err := unix.Poll(fds, 0); err != nil {
		m.t.Fatal(err)
	}
	if fds[0].Revents&(unix.POLLIN|unix.POLLHUP|unix.POLLERR) != 0 {
		ready |= Readable
	}
	if fds[0].Revents&(unix.POLLOUT|unix.POLLERR) != 0 {
		ready |= Writable
	}
	if slot.finished && slot.want&Readable != 0 && !m.s.traits.noHangups {
		return ready&slot.want | Hangup
	}
	return ready & slot.want
}

// change runs what may make a slot ready, and notes what has become ready.
func (m *model) change(i int, f func(slot *modelSlot)) {
	before := m.truth(i)
	f(&m.slots[i])
	m.slots[i].owed |= m.truth(i) &^ before
}

// rearm runs what must report anew all that is ready.
func (m *model) rearm(i int, f func(slot *modelSlot)) {
	f(&m.slots[i])
	m.slots[i].owed = m.truth(i)
}

func (m *model) close(i int) {
	slot := &m.slots[i]
	if slot.registered {
		must(m.t, m.s.Remove(slot.ours))
	}
	for _, fd := range []int{slot.ours, slot.peers} {
		if fd >= 0 {
			must(m.t, unix.Close(fd))
		}
	}
	*slot = modelSlot{ours: -1, peers: -1, generation: slot.generation + 1}
}

// open makes a new connection, usually with numbers that were just closed.
func (m *model) open(i int) {
	m.close(i)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(m.t, err)
	slot := &m.slots[i]
	slot.ours, slot.peers = fds[0], fds[1]
	for _, fd := range fds {
		must(m.t, unix.SetNonblock(fd, true))
	}
}

// wait takes one batch and holds it against the model.
func (m *model) wait(rt *rapid.T) {
	got := m.s.take(m.t, 0)
	for i := range m.slots {
		slot := &m.slots[i]
		due := m.truth(i)
		if m.s.trigger == Edge {
			due &= slot.owed
		}
		ready, reported := got[m.token(i)]
		if reported && !slot.registered {
			rt.Fatalf("slot %d is not registered and reported", i)
		}
		if missed := due &^ ready; missed != 0 {
			rt.Fatalf("slot %d: got %s, missed %s", i, readyString(ready), readyString(missed))
		}
		slot.owed = 0
		delete(got, m.token(i))
	}
	if len(got) != 0 {
		rt.Fatalf("stale or unknown tokens: %v", got)
	}
}

// draw picks a slot that fits, or skips the action.
func (m *model) draw(rt *rapid.T, fits func(slot *modelSlot) bool) int {
	var fitting []int
	for i := range m.slots {
		if fits(&m.slots[i]) {
			fitting = append(fitting, i)
		}
	}
	if len(fitting) == 0 {
		rt.Skip("no slot fits")
	}
	return rapid.SampledFrom(fitting).Draw(rt, "slot")
}

func isOpen(slot *modelSlot) bool       { return slot.ours >= 0 }
func isAlive(slot *modelSlot) bool      { return slot.peers >= 0 }
func isAbsent(slot *modelSlot) bool     { return isOpen(slot) && !slot.registered }
func isRegistered(slot *modelSlot) bool { return slot.registered }

// actions are what may happen, in any order.
func (m *model) actions() map[string]func(*rapid.T) {
	interest := rapid.SampledFrom([]Interest{0, Readable, Writable, Readable | Writable})
	buffer := make([]byte, 1<<20)
	return map[string]func(*rapid.T){
		"wait": m.wait,
		"open": func(rt *rapid.T) {
			m.open(rapid.IntRange(0, modelSlots-1).Draw(rt, "slot"))
		},
		"close": func(rt *rapid.T) { m.close(m.draw(rt, isOpen)) },
		"add": func(rt *rapid.T) {
			i, want := m.draw(rt, isAbsent), interest.Draw(rt, "interest")
			m.rearm(i, func(slot *modelSlot) {
				must(m.t, m.s.Add(slot.ours, m.token(i), want, 0))
				slot.registered, slot.want = true, want
			})
		},
		"modify": func(rt *rapid.T) {
			i, want := m.draw(rt, isRegistered), interest.Draw(rt, "interest")
			m.rearm(i, func(slot *modelSlot) {
				slot.generation++ // a new token too
				must(m.t, m.s.Modify(slot.ours, m.token(i), want))
				slot.want = want
			})
		},
		"remove": func(rt *rapid.T) {
			slot := &m.slots[m.draw(rt, isRegistered)]
			must(m.t, m.s.Remove(slot.ours))
			slot.registered = false
			slot.generation++
		},
		"peer writes": func(rt *rapid.T) {
			m.change(m.draw(rt, isAlive), func(slot *modelSlot) { _, _ = unix.Write(slot.peers, []byte("x")) })
		},
		"peer reads": func(rt *rapid.T) {
			m.change(m.draw(rt, isAlive), func(slot *modelSlot) { drain(slot.peers, buffer) })
		},
		"peer finishes": func(rt *rapid.T) {
			m.change(m.draw(rt, isAlive), func(slot *modelSlot) {
				must(m.t, unix.Shutdown(slot.peers, unix.SHUT_WR))
				slot.finished = true
			})
		},
		"peer closes": func(rt *rapid.T) {
			m.change(m.draw(rt, isAlive), func(slot *modelSlot) {
				must(m.t, unix.Close(slot.peers))
				slot.peers, slot.finished = -1, true
			})
		},
		"we read": func(rt *rapid.T) {
			m.change(m.draw(rt, isOpen), func(slot *modelSlot) { drain(slot.ours, buffer) })
		},
		"we read a byte": func(rt *rapid.T) {
			m.change(m.draw(rt, isOpen), func(slot *modelSlot) { _, _ = unix.Read(slot.ours, buffer[:1]) })
		},
		"we fill": func(rt *rapid.T) {
			m.change(m.draw(rt, isOpen), func(slot *modelSlot) {
				for {
					if n, err := unix.Write(slot.ours, buffer[:4096]); n <= 0 || err != nil {
						return
					}
				}
			})
		},
		"wake": func(*rapid.T) { must(m.t, m.s.Wake()) },
	}
}

// drain reads all that is there.
func drain(fd int, buffer []byte) {
	for {
		if n, err := unix.Read(fd, buffer); n <= 0 || err != nil {
			return
		}
	}
}

func TestModelNeverMissesAnEvent(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		rapid.Check(t, func(rt *rapid.T) {
			m := &model{t: t, s: s}
			for i := range m.slots {
				m.slots[i] = modelSlot{ours: -1, peers: -1}
			}
			defer func() {
				for i := range m.slots {
					m.close(i)
				}
			}()
			m.open(0)
			m.open(1)
			rt.Repeat(m.actions())
			m.wait(rt)
		})
	})
}
