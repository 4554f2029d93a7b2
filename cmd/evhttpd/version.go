package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version, commit and date are set when a release is linked, by
//
//	go build -ldflags "-X main.version=1.2.3 -X main.commit=HASH -X main.date=2026-11-30T12:00:00Z"
//
// What is empty is asked of the build's own record: go build notes the commit of a clone, and go
// install the version of a module.
var version, commit, date string

// commitDigits is how many of a commit's digits are shown, as many as in a pseudo-version.
const commitDigits = 12

// release is which build of the program this is. What is not known is empty.
type release struct {
	version  string
	commit   string
	date     string // of the commit
	modified bool   // there were changes that are not in the commit
}

// thisRelease is what is known of this program.
func thisRelease() release {
	info, _ := debug.ReadBuildInfo() // nil: there is no record
	return release{version: version, commit: commit, date: date}.completed(info)
}

// completed adds what the build's record knows. A commit of its own belongs to a version that is
// not the linker's.
func (r release) completed(info *debug.BuildInfo) release {
	if info == nil {
		return r
	}
	if r.version == "" && info.Main.Version != "(devel)" {
		r.version = info.Main.Version
	}
	if r.commit != "" {
		return r
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			r.commit = s.Value
		case "vcs.time":
			if r.date == "" {
				r.date = s.Value
			}
		case "vcs.modified":
			r.modified = s.Value == "true"
		}
	}
	return r
}

// name is the version in one word.
func (r release) name() string {
	switch {
	case r.version != "":
		return r.version
	case r.commit == "":
		return "devel"
	case r.modified:
		return "devel-" + short(r.commit) + "+dirty"
	default:
		return "devel-" + short(r.commit)
	}
}

func short(commit string) string { return commit[:min(len(commit), commitDigits)] }

// String is the release in a line, with what it was built by and for.
func (r release) String() string {
	parts := []string{"commit unknown: not built in a clone, or with -buildvcs=false"}
	if r.commit != "" {
		parts[0] = "commit " + short(r.commit)
	}
	if r.date != "" {
		parts[0] += " of " + r.date
	}
	if r.modified {
		parts = append(parts, "with changes")
	}
	parts = append(parts, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return fmt.Sprintf("evhttpd %s (%s)", r.name(), strings.Join(parts, ", "))
}

func versionLine() string { return thisRelease().String() }

func versionText() string { return thisRelease().name() }
