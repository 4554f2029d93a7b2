//go:build !linux

package static

import "golang.org/x/sys/unix"

// searchFlag opens a directory to look names up in it.
const searchFlag = unix.O_RDONLY

// Nothing here can be tried without waiting, so every look goes to the pool.

func haveOpenat2() bool { return false }

// Walks is false, since paths are walked on every machine of this system: nothing is missing.
func Walks() bool { return false }

func (r *root) openBeneath([]byte, Links, bool, bool) (int, error) { return -1, unix.ENOSYS }

func readNow(int, []byte, int64, bool) (int, error) { return 0, errWait }

func localFS(int) bool { return false }

func (r *root) lookNow() rootState { return rootUnknown }
