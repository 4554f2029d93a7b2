package daemon

// adviceAgainstRoot says in one line how not to be root, to a server that is.
// There is no switching of users instead: a process that has given up root
// cannot bind a port that a reload adds, nor start its successor in an upgrade as it was
// started itself. Who starts the server gives it the rights that it needs; see docs/operations.md.
func adviceAgainstRoot(uid int) string {
	if uid != 0 {
		return ""
	}
	return "running as root, which it never needs: for ports below 1024 use systemd's socket activation or " +
		"User= with AmbientCapabilities=CAP_NET_BIND_SERVICE; in a container, its own user (docker run --user, runAsUser)"
}
