//go:build !race

package testkit

// Race reports whether the test is built with the race detector. Under it sync.Pool drops what it is
// given at random, so that allocations cannot be counted.
const Race = false
