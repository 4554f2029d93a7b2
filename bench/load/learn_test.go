package load

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestLearn: what is learnt is what a run then gets.
func TestLearn(t *testing.T) {
	addr, _ := files(t, map[string]string{"/empty": "", "/page": strings.Repeat("page", 10000)})
	for _, c := range []struct {
		ask    Target
		status int
		length int64
		body   bool
	}{
		{Target{Path: "/page"}, 200, 40000, true},
		{Target{Path: "/page", Status: 404, Length: 7, Weight: 2}, 200, 40000, true},
		{Target{Path: "/page", Method: "HEAD"}, 200, 40000, false},
		{Target{Path: "/page", Fields: []string{"Range: bytes=1-4"}}, 206, 4, true},
		{Target{Path: "/empty"}, 200, 0, true},
		{Target{Path: "/none"}, 404, 19, true},
	} {
		got, _, err := Learn(t.Context(), addr, c.ask)
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != c.status || got.Length != c.length || (got.Body != nil) != c.body ||
			got.Weight != c.ask.Weight {
			t.Errorf("%+v: status %d, length %d", c.ask, got.Status, got.Length)
		}
		r := mustRun(t, quick(Options{Roles: []Role{{Addr: addr, Connections: 1, Requests: 3,
			Targets: []Target{got}}}})).Roles[0]
		if r.Answered != 3 || r.Failed() != 0 {
			t.Errorf("%+v: %+v %q", c.ask, r.Counts, r.First)
		}
	}
}

// TestLearnRefusesWhatARunWould: a short answer, one that is not HTTP, and none.
func TestLearnRefusesWhatARunWould(t *testing.T) {
	silent := make(chan struct{})
	t.Cleanup(func() { close(silent) })
	for answer, want := range map[string]error{
		okAnswer[:len(okAnswer)-1]: io.ErrUnexpectedEOF,
		okAnswer + "!":             errUninvited,
		okAnswer[:9]:               io.EOF,
		"SSH-2.0-OpenSSH_9.2\r\n":  errStatusLine,
		"":                         context.Canceled,
	} {
		asked := make(chan struct{})
		addr := server(t, func(p *peer) {
			if _, ok := p.request(); !ok {
				return
			}
			close(asked)
			if answer == "" {
				<-silent
			} else if p.write(answer) {
				p.linger()
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		if answer == "" {
			go func() { <-asked; cancel() }()
		}
		_, _, err := Learn(ctx, addr, okTarget)
		cancel()
		if !errors.Is(err, want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, not %v", answer, err, want)
		}
	}
}
