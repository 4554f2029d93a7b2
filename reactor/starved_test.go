//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

const starvedEnv = "EVHTTPD_TEST_STARVED"

func serveStarved() int { return 0 }
