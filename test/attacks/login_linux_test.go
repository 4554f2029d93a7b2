package attacks

import (
	"encoding/base64"
	"errors"
	"slices"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestLoginUnderFlood: who comes with the right password for the first time, while wrong ones are tried from many
// addresses, waits for a turn and is let in.
func TestLoginUnderFlood(t *testing.T) {
	if testkit.Race {
		t.Skip("TestAllAtOnce is the round under the race detector")
	}
	for _, model := range []string{"epoll", "goroutine", "blocking"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			// A busy machine may take long, and is not tested.
			s := start(t, setup{model: model, descriptors: descriptorsMax, more: "timeouts: {deferred: 10m}"})
			flood := s.attack(1, slices.IndexFunc(kinds, func(k kind) bool { return k.name == "passwords" }))
			patiently(t, func() error {
				now, err := s.metrics()
				if err == nil && now[answers4xx] < 8 {
					err = errors.New("no password has been refused yet")
				}
				return err
			})
			right := base64.StdEncoding.EncodeToString([]byte("alice:right"))
			err := s.served("/private/secret", "Authorization: Basic "+right+"\r\n")
			if err := errors.Join(err, flood.stop()); err != nil {
				t.Error(err)
			}
		})
	}
}
