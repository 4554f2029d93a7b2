//go:build linux && !race

package iomodel

const ringRace = false
