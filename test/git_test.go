package test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// repository runs git in a folder, with nothing of this user's or machine's configuration.
func repository(t *testing.T, folder string, args ...string) string {
	t.Helper()
	out, err := tryRepository(t, folder, args...)
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

func tryRepository(t *testing.T, folder string, args ...string) (string, error) {
	t.Helper()
	cmd := testkit.Command(tool(t, "git"), args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_TERMINAL_PROMPT=0", "no_proxy=*",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a",
		"GIT_COMMITTER_EMAIL=a@example.org")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	stop := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
	defer stop.Stop()
	err := cmd.Wait()
	return said.String(), err
}

// TestGitClone: a bare repository in the root is cloned and fetched from by its files alone
// (gitprotocol-http(5), "dumb"), packed objects and loose ones; the .git of a working tree is hidden.
func TestGitClone(t *testing.T) {
	once(t)
	twoVariants(t, func(t *testing.T, v variant) {
		root, parent := t.TempDir(), t.TempDir()
		work := filepath.Join(root, "work")
		repository(t, root, "init", "-q", "-b", "main", "work")
		commit := func(name string, content []byte) {
			write(t, work, name, content)
			repository(t, work, "add", "-A")
			repository(t, work, "commit", "-q", "-m", name)
		}
		commit("large.bin", pattern(2<<20, 11))
		commit("a/b/c.txt", []byte(hello))
		repository(t, work, "tag", "-a", "-m", "v1", "v1")
		repository(t, root, "clone", "-q", "--bare", "work", "bare.git")
		bare := filepath.Join(root, "bare.git")
		repository(t, bare, "repack", "-q", "-a", "-d")
		repository(t, bare, "update-server-info")
		s := start(t, v, root, "--listing", "on")

		repository(t, parent, "clone", "-q", s.url+"bare.git", "clone")
		clone := filepath.Join(parent, "clone")
		same := func() {
			t.Helper()
			repository(t, clone, "fsck", "--strict")
			if got, want := repository(t, clone, "rev-parse", "HEAD", "v1"), repository(t, work, "rev-parse", "HEAD",
				"v1"); got != want {
				t.Errorf("cloned %q, want %q", got, want)
			}
		}
		same()
		commit("later.txt", []byte("later")) // arrives as loose objects
		repository(t, work, "push", "-q", bare, "main")
		repository(t, bare, "update-server-info")
		repository(t, clone, "pull", "-q", "--ff-only")
		same()
		if said, err := tryRepository(t, parent, "clone", "-q", s.url+"work/.git", "hidden"); err == nil ||
			!strings.Contains(said, "not found") {
			t.Errorf("a hidden repository: %v, %s", err, said)
		}
		if said, err := tryRepository(t, clone, "push", "-q", "origin", "main:other"); err == nil {
			t.Errorf("pushed: %s", said)
		}
	})
}
