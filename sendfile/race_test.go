//go:build race

package sendfile

// raceEnabled: sync.Pool then drops what it is given at random, so that
// allocations say nothing.
const raceEnabled = true
