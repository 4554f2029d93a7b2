package static

import (
	"fmt"
	"math/bits"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// timestamp is a time of a file, as the kernel tells it. Seconds and nanoseconds stand apart: one
// number of nanoseconds in 64 bits ends in the years 1678 and 2262, and tmpfs, XFS, Btrfs and ext4 go beyond.
type timestamp struct {
	seconds     int64 // since 1970
	nanoseconds int32 // 0 to 999,999,999
}

func timestampOf(ts unix.Timespec) timestamp {
	seconds, nanoseconds := ts.Unix()
	return timestamp{seconds, int32(nanoseconds)}
}

// validFrom is 1990-01-01, in seconds since 1970. What makes archives and images reproducible sets all times to
// one that was chosen for that: 0 or 1 (container images, Nix), 1980-01-01 (ZIP's first day), 1980-02-01 (Gradle),
// 1985-10-26 (npm). No file that is served today was last changed before it.
const validFrom = 631152000

// validator reports whether the time may tell two versions of a file apart. If it does not, the same size and
// time may stand for other bytes, and neither ETag nor Last-Modified can be made of it (RFC 9110 section 8.8.1).
func (t timestamp) validator() bool { return t.seconds >= validFrom }

// near reports whether the time is less than distance from wall, both in nanoseconds.
func (t timestamp) near(wall, distance int64) bool {
	at := time.Unix(t.seconds, int64(t.nanoseconds))
	return at.After(time.Unix(0, max(wall-distance, 0))) && at.Before(time.Unix(0, wall+distance))
}

// appendHex appends the nanoseconds since 1970 of a time that is not before.
func (t timestamp) appendHex(dst []byte) []byte {
	high, low := bits.Mul64(uint64(t.seconds), 1e9)
	low, carry := bits.Add64(low, uint64(t.nanoseconds), 0)
	if high += carry; high > 0 {
		return fmt.Appendf(dst, "%x%016x", high, low)
	}
	return strconv.AppendUint(dst, low, 16)
}
