//go:build unix

package poller

// fdWaker is the waker of the backends that wait for a descriptor of their own.
type fdWaker struct {
	waker
	wake WakeFD
}

// Wake implements Poller.
func (w *fdWaker) Wake() error {
	if !w.claim() {
		return nil
	}
	err := w.wake.Send()
	w.release(err)
	return err
}

// woken is called by Wait when the kernel reported the descriptor.
func (w *fdWaker) woken() error {
	if err := w.wake.Drain(); err != nil {
		return err
	}
	w.clear()
	return nil
}
