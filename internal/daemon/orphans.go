package daemon

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// reapOrphans waits for processes that have ended, for as long as this one runs. It is for process 1 of a container:
// the kernel makes it the parent of processes whose own parents have ended (those of "docker exec" or of a probe),
// and each would stay a zombie until its parent asks how it ended (wait(2)). It takes no exit status from another
// part of the server, which as process 1 has no children of its own: it is not upgraded.
func reapOrphans() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for {
			for { // one signal may stand for several
				pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
				if err != unix.EINTR && (err != nil || pid <= 0) {
					break
				}
			}
			<-ended
		}
	}()
}
