package server

import (
	"strings"
	"testing"
)

const modelsJSON = `{"auto": {"model": "epoll", "trigger": "edge"}, "models": [
	{"name": "blocking", "available": true, "triggers": []},
	{"name": "epoll", "available": true, "triggers": ["level", "edge"]},
	{"name": "kqueue", "available": false, "reason": "not on Linux", "triggers": ["level"]}]}`

// TestVariants: what auto takes comes first, and what cannot run here is left out.
func TestVariants(t *testing.T) {
	m, err := ParseModels([]byte(modelsJSON))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range m.Variants() {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, ", "); got != "epoll edge, blocking, epoll level" {
		t.Errorf("variants: %s", got)
	}
	for _, bad := range []string{"", "{}"} {
		if _, err := ParseModels([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestModelsThatCannotRun: the error says why, and what there is.
func TestModelsThatCannotRun(t *testing.T) {
	m, err := ParseModels([]byte(modelsJSON))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check([]string{"epoll", "blocking"}); err != nil {
		t.Error(err)
	}
	for name, says := range map[string]string{"kqueue": "not on Linux", "epol": "no such model"} {
		if err := m.Check([]string{name}); err == nil || !strings.Contains(err.Error(), says) ||
			!strings.Contains(err.Error(), "blocking, epoll") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestThreads: the blocking model has a thread a connection and some to spare, up to its limit.
func TestThreads(t *testing.T) {
	v := Variant{Name: "blocking", Model: "blocking", Trigger: "auto"}
	if args := strings.Join(v.Args("/r", 1, 100), " "); !strings.HasSuffix(args, "--threads 116") {
		t.Error(args)
	}
	if !v.Serves(100) || v.Serves(threadsMax) {
		t.Error("its limit of threads is not known")
	}
}
