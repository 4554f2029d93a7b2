package daemon

import (
	"strings"
	"testing"
)

func TestAdviceAgainstRoot(t *testing.T) {
	var said strings.Builder
	adviseAgainstRoot(&said, 1000)
	if said.Len() > 0 {
		t.Errorf("a user is told %q", said.String())
	}
	adviseAgainstRoot(&said, 0)
	for _, way := range []string{"socket activation", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "--user"} {
		if !strings.Contains(said.String(), way) || strings.Count(said.String(), "\n") != 1 {
			t.Errorf("root is told %q, without %q or in more than a line", said.String(), way)
		}
	}
}
