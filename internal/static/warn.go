package static

import "sync"

const (
	// warnEvery is how long a path that was warned of is not warned of again, in nanoseconds.
	warnEvery = 60e9
	// warnPaths bounds the paths that are remembered: with more in a minute, the rest is not told.
	warnPaths = 256
)

// warner tells the operator about a path, once a minute.
type warner struct {
	tell func(msg, path string)
	mu   sync.Mutex
	told map[string]int64 // when, Clock.Mono
}

// warn tells msg about path, if it is time to. mono is the Clock.Mono of the request.
func (w *warner) warn(mono int64, msg, path string) {
	if w.tell == nil {
		return
	}
	w.mu.Lock()
	at, seen := w.told[path]
	due := !seen || mono-at >= warnEvery
	if due && !seen && len(w.told) >= warnPaths {
		for p, at := range w.told {
			if mono-at >= warnEvery {
				delete(w.told, p)
			}
		}
		due = len(w.told) < warnPaths
	}
	if due {
		if w.told == nil {
			w.told = make(map[string]int64)
		}
		w.told[path] = mono
	}
	w.mu.Unlock()
	if due {
		w.tell(msg, path)
	}
}
