//go:build !linux

package slowfs

// FS is a mounted file system.
type FS struct{}

// Mount refuses.
func Mount(string, Options) (*FS, error) { return nil, ErrUnsupported }

// Unmount refuses too.
func (*FS) Unmount() error { return ErrUnsupported }
