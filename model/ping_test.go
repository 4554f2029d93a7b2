package model

import "testing"

// TestPulse: every question has one answer, and after the end each is answered at once.
func TestPulse(t *testing.T) {
	answered := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	var p Pulse
	p.Beat() // for nobody
	a, first := p.Ask()
	b, second := p.Ask()
	if !first || second || answered(a) || answered(b) {
		t.Errorf("asked twice: first %v, %v; answered %v, %v", first, second, answered(a), answered(b))
	}
	p.Beat()
	if !answered(a) || !answered(b) {
		t.Error("a beat is no answer")
	}
	c, first := p.Ask()
	if !first || answered(c) {
		t.Error("the last beat answers the next question")
	}
	p.End()
	d, first := p.Ask()
	if first || !answered(c) || !answered(d) {
		t.Error("the end is no answer")
	}
	p.Beat()
	p.End()
}
