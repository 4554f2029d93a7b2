package daemon

import (
	"strings"
	"testing"
)

func TestAdviceAgainstRoot(t *testing.T) {
	if said := adviceAgainstRoot(1000); said != "" {
		t.Errorf("a user is told %q", said)
	}
	said := adviceAgainstRoot(0)
	for _, way := range []string{"socket activation", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "--user"} {
		if !strings.Contains(said, way) || strings.Contains(said, "\n") {
			t.Errorf("root is told %q, without %q or in more than a line", said, way)
		}
	}
}
