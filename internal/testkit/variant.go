package testkit

import "runtime"

// Variant is one way to run the server: an IO model, and a trigger of readiness events.
type Variant struct{ Model, Trigger string }

func (v Variant) String() string { return v.Model + "," + v.Trigger }

// Variants lists what the platform's server offers, its default first. TestVariants of the end-to-end tests finds what
// is missing here.
func Variants() []Variant {
	everywhere := []Variant{{"poll", "level"}, {"select", "level"}, {"spin", "level"},
		{"blocking", "auto"}, {"goroutine", "auto"}, {"netpoll", "auto"}}
	if runtime.GOOS == "linux" {
		linux := []Variant{{"epoll", "edge"}, {"epoll", "level"}, {"sigio", "edge"}, {"io_uring", "auto"}}
		return append(linux, everywhere...)
	}
	return append([]Variant{{"kqueue", "edge"}, {"kqueue", "level"}}, everywhere...)
}

// Loops reports whether the model runs event loops.
func (v Variant) Loops() bool { return v.Trigger != "auto" || v.Model == "io_uring" }

// OwnCode reports whether the variant drives connections by code that no earlier one in the list has. The race
// detector looks at these. A readiness backend is one file in poller, and has tests there that run under the
// detector.
func (v Variant) OwnCode() bool { return v == Variants()[0] || v.Trigger == "auto" }
