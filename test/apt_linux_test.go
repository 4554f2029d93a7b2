package test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// archive makes a repository of one package of that version in folder, as apt-ftparchive would.
func archive(t *testing.T, folder, version string, content []byte) {
	t.Helper()
	tree := t.TempDir()
	write(t, tree, "usr/share/evhttpd-test/content", content)
	control := "Package: evhttpd-test\nVersion: " + version +
		"\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a package of a test\n"
	write(t, tree, "DEBIAN/control", []byte(control))
	name := "pool/evhttpd-test_" + version + "_all.deb"
	must(t, os.MkdirAll(filepath.Join(folder, "pool"), 0o755))
	run(t, "dpkg-deb", "--root-owner-group", "-b", tree, filepath.Join(folder, name))
	deb, err := os.ReadFile(filepath.Join(folder, name))
	must(t, err)
	packages := fmt.Appendf(nil, "%sFilename: %s\nSize: %d\nSHA256: %x\n\n", control, name, len(deb),
		sha256.Sum256(deb))
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(packages)
	must(t, err)
	must(t, w.Close())
	write(t, folder, "dists/test/main/binary-all/Packages", packages)
	write(t, folder, "dists/test/main/binary-all/Packages.gz", packed.Bytes())
	release := "Suite: test\nCodename: test\nArchitectures: all\nComponents: main\nDate: " +
		time.Now().UTC().Format(time.RFC1123) + "\nSHA256:\n"
	for file, body := range map[string][]byte{"Packages": packages, "Packages.gz": packed.Bytes()} {
		release += fmt.Sprintf(" %x %d main/binary-all/%s\n", sha256.Sum256(body), len(body), file)
	}
	write(t, folder, "dists/test/Release", []byte(release))
}

// aptMachine is a folder in which apt finds one archive, and nothing of this machine's configuration.
func aptMachine(t *testing.T, source string) (root string, apt func(args ...string) string) {
	t.Helper()
	program := tool(t, "apt-get")
	root = t.TempDir()
	for _, folder := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d",
		"etc/apt/sources.list.d", "var/lib/apt/lists/partial",
		"var/cache/apt/archives/partial", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log/apt"} {
		must(t, os.MkdirAll(filepath.Join(root, folder), 0o755))
	}
	write(t, root, "var/lib/dpkg/status", nil)
	write(t, root, "etc/apt/sources.list", []byte("deb [trusted=yes] "+source+" test main\n"))
	config := `Dir "` + root + `/"; Dir::State::status "` + root +
		`/var/lib/dpkg/status"; Dir::Bin::methods "/usr/lib/apt/methods"; Dir::Bin::dpkg "/usr/bin/dpkg";
APT::Sandbox::User "root"; APT::Architecture "amd64"; APT::Architectures {"amd64";}; Acquire::http::Proxy "DIRECT";
Acquire::Languages "none";
Acquire::Retries "0"; Acquire::http::Timeout "30"; DPkg::Options {"--root=` + root +
		`"; "--force-not-root"; "--force-bad-path"; "--log=` + root + `/var/log/dpkg.log";};
`
	write(t, root, "apt.conf", []byte(config))
	return root, func(args ...string) string {
		t.Helper()
		cmd := testkit.Command(program, append([]string{"-q", "-y"}, args...)...)
		cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(root, "apt.conf"), "DEBIAN_FRONTEND=noninteractive",
			"LC_ALL=C")
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		must(t, cmd.Start())
		stop := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
		defer stop.Stop()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, said.String())
		}
		return said.String()
	}
}

// TestAptInstall: an archive is updated from, installed from, updated again without a
// byte when nothing has changed (304), and upgraded from when it has; a cut download is resumed.
func TestAptInstall(t *testing.T) {
	once(t)
	tool(t, "dpkg-deb")
	twoVariants(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		// dpkg-deb compresses: only what does not shrink makes a package that is not cached.
		first, second := pattern(400_000, 1), pattern(500_000, 2)
		archive(t, filepath.Join(root, "debian"), "1.0~rc1+b1", first)
		log := filepath.Join(t.TempDir(), "access.log")
		s := start(t, v, root, "--access-log", log)
		machine, apt := aptMachine(t, s.url+"debian")
		installed := filepath.Join(machine, "usr/share/evhttpd-test/content")
		apt("update")
		apt("install", "evhttpd-test")
		if got, err := os.ReadFile(installed); err != nil || !bytes.Equal(got, first) {
			t.Errorf("installed %d bytes, %v", len(got), err)
		}
		s.settle(t, "/debian/dists/test/Release")
		apt("update")
		if said := apt("update"); !strings.Contains(said, "Hit:") || strings.Contains(said, "Get:") {
			t.Errorf("nothing has changed, and apt says\n%s", said)
		}
		archive(t, filepath.Join(root, "debian"), "2.0+dfsg-1", second)
		apt("update")
		// Half of it is there from a download that was cut.
		const name = "evhttpd-test_2.0+dfsg-1_all.deb"
		deb := filepath.Join(root, "debian/pool", name)
		body, err := os.ReadFile(deb)
		must(t, err)
		partial := filepath.Join(machine, "var/cache/apt/archives/partial", name)
		must(t, os.WriteFile(partial, body[:len(body)/2], 0o644))
		before := time.Now().Add(-time.Hour).Truncate(time.Second)
		must(t, os.Chtimes(deb, before, before))
		must(t, os.Chtimes(partial, before, before))
		s.settle(t, "/debian/pool/"+name) // until then its time is no strong validator (If-Range)
		apt("install", "evhttpd-test")
		if got, err := os.ReadFile(installed); err != nil || !bytes.Equal(got, second) {
			t.Errorf("upgraded to %d bytes, %v", len(got), err)
		}
		resumed := regexp.MustCompile(`"GET /debian/pool/evhttpd-test_2.0\S+ HTTP/1.1" 206 `)
		eventually(t, func() error {
			if lines, err := os.ReadFile(log); err != nil || !resumed.Match(lines) {
				return fmt.Errorf("the download was not resumed: %v\n%s", err, lines[max(0, len(lines)-2000):])
			}
			return nil
		})
	})
}
