//go:build !linux

package reactor

// nameThread does nothing where threads have no names that others see.
func nameThread(int) (restore func()) { return func() {} }
