package sendfile

import "fmt"

const (
	// probeStride is how far apart in bytes the probes of a range are once the
	// file was found cold: more than what one failed probe brings in by itself.
	probeStride = 32 << 10
	// probesMax bounds the system calls of one Resident.
	probesMax = 16
)

// Resident reports whether that part of the file can be sent without waiting
// for a disk, as far as a few system calls that do not wait can tell. False
// means that Warm is to read it first, on a thread that may block; after that
// the caller sends without asking again, since for some files (Flags.NoProbe)
// the answer stays false. A range past the end is resident: Send reports it.
// Nothing is allocated.
//
// Ordinarily one byte of the range's last page is read (preadv2 with
// RWF_NOWAIT). But a probe that finds nothing makes the kernel read a few pages
// around it (filemap_get_pages in mm/filemap.c; 5 pages on 6.18), so a second
// probe of the same byte soon succeeds while the rest of the range is still on
// the disk. From a probe that failed until a Warm has ended, the whole range is
// therefore probed in strides.
//
// Only Linux can be asked. Elsewhere the answer is false for all files but
// those in memory: one more copy of each byte, by a thread that may wait, is the
// price for a loop that never waits for a disk.
func (f *File) Resident(offset, count int64) bool {
	switch {
	case f.is(InMemory):
		return true
	case f.is(NoProbe):
		return false
	case !f.probe(offset + count - 1):
		return false
	case !f.cold.Load():
		return true
	}
	stride := max(probeStride, count/probesMax)
	for at := offset; at < offset+count; at += stride {
		if !f.probe(at) {
			return false
		}
	}
	return true
}

// probe reports whether the byte at that offset is in memory, and keeps what
// it learns about the file.
func (f *File) probe(at int64) bool {
	switch probe(f.fd, at) {
	case absent:
		f.cold.Store(true)
		return false
	case unknown:
		f.learn(NoProbe)
		return false
	}
	return true
}

// presence is what a probe finds.
type presence uint8

const (
	present presence = iota // or past the end, or in error: Send says which
	absent                  // reading would wait
	unknown                 // the file system or the kernel does not say
)

// Warm reads that part of the file, as far as it goes, so that the kernel has
// it in memory when Send comes to it. It waits for the disk: it is for a thread
// that may. The caller bounds count, in bytes, by what is sent in one turn.
// (posix_fadvise(2) with POSIX_FADV_WILLNEED would start the reading and not wait
// for it, and does nothing on FUSE.)
// Then it asks the file system whether the file has changed, see Check.
func (f *File) Warm(offset, count int64) error {
	buf := scratch.Get().(*[scratchSize]byte)
	defer scratch.Put(buf)
	for end := offset + count; offset < end; {
		n, err := pread(f.fd, buf[:min(end-offset, scratchSize)], offset)
		if err != nil {
			f.failed(err)
			return fmt.Errorf("sendfile: read ahead at offset %d: %w", offset, err)
		}
		if n == 0 {
			break
		}
		offset += int64(n)
	}
	f.cold.Store(false)
	return f.settled()
}
