//go:build linux && race

package ring

const raceDetector = true
