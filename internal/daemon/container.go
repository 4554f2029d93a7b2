package daemon

import "os"

// containerMarks are what engines leave in a container: Docker, Podman, systemd-nspawn.
var containerMarks = []string{"/.dockerenv", "/run/.containerenv", "/run/systemd/container"}

// contained reports whether this process seems to run in a container, whose network is not the machine's.
// There is no way to know: process 1 of a container, the marks of engines and the variables of
// systemd's interface for containers and of Kubernetes tell.
func contained() bool {
	if os.Getpid() == 1 || os.Getenv("container") != "" || os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return true
	}
	for _, mark := range containerMarks {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}
