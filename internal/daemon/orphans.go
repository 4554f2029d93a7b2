package daemon

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// reapOrphans waits for processes that have ended, for as long as this one runs. It is for process 1
// of a container: the kernel gives it those whose parents have ended (what "docker exec" or a probe
// has left), and each would stay a zombie until somebody asks how it ended (wait(2)). The server has
// no children itself that somebody else waits for: as process 1 it is not upgraded.
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
