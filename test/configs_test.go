package test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// installedBinary is where the units find the server.
const installedBinary = "/usr/local/bin/evhttpd"

// units copies the units to a folder, where they name a binary that exists.
func units(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, name := range []string{"evhttpd.service", "evhttpd-socket.service", "evhttpd.socket"} {
		text, err := os.ReadFile(filepath.Join("../configs", name))
		must(t, err)
		if strings.HasSuffix(name, ".service") && !strings.Contains(string(text), "\nExecStart="+installedBinary+
			" serve ") {
			t.Fatalf("%s does not start %s", name, installedBinary)
		}
		write(t, folder, name, []byte(strings.ReplaceAll(string(text), installedBinary, binary)))
	}
	return folder
}

// TestSystemdUnits: systemd understands every line of the units.
func TestSystemdUnits(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	folder := units(t)
	verify := testkit.Command(analyze, "verify", "--man=no", "./evhttpd.service", "./evhttpd.socket",
		"./evhttpd-socket.service")
	verify.Dir = folder
	verify.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+folder+":") // the socket finds its service
	if said, err := verify.CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("%v: %s", err, said)
	}
}

// TestSystemdExposure: how far the units shut the server in, by systemd's own measure.
func TestSystemdExposure(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	folder := units(t)
	overall := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
	for name, most := range map[string]float64{"evhttpd.service": 1.6, "evhttpd-socket.service": 0.5} {
		out, err := testkit.Command(analyze, "security", "--offline=true", "--no-pager",
			filepath.Join(folder, name)).CombinedOutput()
		m := overall.FindSubmatch(out)
		if m == nil {
			if strings.Contains(string(out), "unrecognized option") { // before systemd 250
				testkit.Skip(t, "a systemd-analyze that knows --offline")
			}
			t.Fatalf("%v: %s", err, out)
		}
		exposure, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil || exposure > most {
			t.Errorf("%s: exposure %v, at most %v is wanted\n%s", name, exposure, most, out)
		}
	}
}

// TestSystemdConfiguration: what the units serve is a configuration without a mistake.
func TestSystemdConfiguration(t *testing.T) {
	text, err := os.ReadFile("../configs/systemd.yaml")
	must(t, err)
	const root = "root: /srv/www"
	if !strings.Contains(string(text), root) {
		t.Fatalf("%s is not served", root)
	}
	folder := t.TempDir()
	write(t, folder, "evhttpd.yaml", []byte(strings.Replace(string(text), root, "root: "+folder, 1)))
	if code, _, complaint := command(t, "check", "--config", filepath.Join(folder, "evhttpd.yaml")); code != 0 {
		t.Error(errors.New(complaint))
	}
}
