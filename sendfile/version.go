package sendfile

import (
	"errors"
	"io"
	"time"
)

// ErrChanged says that the file was changed in place since it was looked at, so that bytes from then on may be of
// another version, or zeros where it was cut and extended.
var ErrChanged = errors.New("sendfile: the file was changed in place")

// ErrUnsettled says that a change of the file is under way, and that it cannot be told of which kind: who appends to a
// file sets its time first and its size last. Warm waits for that.
var ErrUnsettled = errors.New("sendfile: the file is being changed")

const (
	// settleMax is how long is waited for a change that is under way: a write(2) of some MiB, and the next turn of its
	// thread on a busy machine.
	settleMax = 100 * time.Millisecond
	// settlePause is the time between two looks.
	settlePause = time.Millisecond
)

// endSize is how many of a file's last bytes are remembered, to tell what was appended to from what was written anew.
const endSize = 64

// Version is what a file was when it was looked at: its size and modification time, and its last bytes.
//
// The change time says no more: renaming another file over this one, linking it and changing its mode set it too, and
// none of them touches what is sent. A modification time that was set back to the same nanosecond hides a change.
type Version struct {
	Size        int64
	Seconds     int64 // of the modification time, since 1970
	Nanoseconds int32
	end         [endSize]byte
}

// EndOf is where the last bytes of a file of that size are, which Version.SetEnd takes.
func EndOf(size int64) (offset int64, length int) {
	length = int(min(size, endSize))
	return size - int64(length), length
}

// SetEnd sets the last bytes.
func (v *Version) SetEnd(p []byte) { copy(v.end[:], p) }

// Expect has Check compare the file with that version. It is called before the File is shared.
func (f *File) Expect(v Version) { f.version, f.versioned = v, true }

// Versioned reports whether Expect was called, so that Check and Tail say something.
func (f *File) Versioned() bool { return f.versioned }

// Check returns ErrUnsettled if the file is not what Expect was told, io.ErrUnexpectedEOF if it is shorter, or why it
// cannot be looked at. Warm, which may wait, finds out whether the former becomes ErrChanged. A file that has become
// longer, and whose bytes before the old end are what they were, is taken for one that was appended to, as a log is:
// what an answer has of it has not changed. Check waits for no network: where a file system keeps what it knows of a
// file, that has to do (AT_STATX_DONT_SYNC in man statx). Nothing is allocated.
func (f *File) Check() error {
	if !f.versioned {
		return nil
	}
	err := f.compare(false)
	if err == ErrChanged {
		return ErrUnsettled
	}
	if err != nil {
		f.failed(err)
	}
	return err
}

// settled is Check for who may wait: the file system is asked, and ErrUnsettled does not come.
func (f *File) settled() error {
	if !f.versioned {
		return nil
	}
	err := f.compare(true)
	for end := time.Now().Add(settleMax); err == ErrChanged && time.Now().Before(end); err = f.compare(true) {
		time.Sleep(settlePause)
	}
	if err != nil {
		f.failed(err)
	}
	return err
}

// compare compares the file with what Expect was told. sync: the file system is asked.
func (f *File) compare(sync bool) error {
	v := &f.version
	size, seconds, nanoseconds, err := lookAt(f.fd, sync)
	switch {
	case err != nil:
		return err
	case size < v.Size:
		return io.ErrUnexpectedEOF
	case size == v.Size && seconds == v.Seconds && nanoseconds == v.Nanoseconds:
		return nil
	case size > v.Size && f.endsAlike():
		return nil
	}
	return ErrChanged
}

// Overtaken reports whether a transfer has found that the file is not what Expect was told, or cannot be read. Who
// keeps it open to send it again looks at it first.
func (f *File) Overtaken() bool { return f.overtaken.Load() }

// endsAlike reports whether the bytes before the old end are what they were. They are in memory: whoever appended has
// just written to their page, or to the next one.
func (f *File) endsAlike() bool {
	var end [endSize]byte
	offset, length := EndOf(f.version.Size)
	n, err := preadFull(f.fd, end[:length], offset)
	return err == nil && n == length && end == f.version.end
}

// Tail reads the last bytes of a transfer, and then checks the file as Check does. So nothing of a transfer has to be
// taken back: its last bytes are still to be sent when it is known what all the others were. It may wait for the file
// as Send may.
func (f *File) Tail(p []byte, offset int64) error {
	n, err := preadFull(f.fd, p, offset)
	if err == nil && n < len(p) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		f.failed(err)
		return err
	}
	return f.Check()
}
