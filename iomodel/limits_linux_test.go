package iomodel

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestOwnLimits: each model's own limits on Linux, which has them all.
func TestOwnLimits(t *testing.T) {
	for name, want := range map[string]string{
		"epoll": "fs.epoll.max_user_watches", "goroutine": "fs.epoll.max_user_watches",
		"netpoll": "fs.epoll.max_user_watches",
		"sigio":   "RLIMIT_SIGPENDING", "blocking": "--threads", "io_uring": "RLIMIT_MEMLOCK",
		"select": "", "poll": "", "spin": "",
	} {
		t.Run(name, func(t *testing.T) {
			m := models[slices.IndexFunc(models, func(m Model) bool { return m.Name == name })]
			var names []string
			for _, l := range m.Limits() {
				names = append(names, l.Name)
			}
			if len(names) < 2 || names[0] != "RLIMIT_NOFILE" || names[1] != "net.core.somaxconn" {
				t.Fatalf("%v: those of every model come first", names)
			}
			if own := names[2:]; want == "" && len(own) > 0 || want != "" && !slices.Contains(own, want) {
				t.Errorf("its own are %v, want %q", own, want)
			}
		})
	}
}

// TestSettingLift: the command names the setting and raises it.
func TestSettingLift(t *testing.T) {
	for _, more := range []uint64{0, 1, 1 << 40} {
		limits := setting("net.core.somaxconn", more, "x")
		if len(limits) != 1 || len(limits[0].Lift) != 1 {
			t.Fatalf("got %+v", limits)
		}
		text, found := strings.CutPrefix(limits[0].Lift[0].Do, "sysctl -w net.core.somaxconn=")
		to, err := strconv.ParseUint(text, 10, 64)
		if !found || err != nil || to <= limits[0].Value || more > limits[0].Value && to != more {
			t.Errorf("%q for %d", limits[0].Lift[0].Do, limits[0].Value)
		}
	}
	if got := setting("net.core.no_such_setting", 1, "x"); got != nil {
		t.Errorf("got %+v for a setting that is not there", got)
	}
}
