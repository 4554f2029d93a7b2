//go:build race

package test

// raceEnabled: the server is built like the test itself.
const raceEnabled = true
