package listing

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// TestDirectoryIsReadOnceForAll who ask for it at a time.
func TestDirectoryIsReadOnceForAll(t *testing.T) {
	const names, callers = 3000, 8
	store := NewStore()
	var retired atomic.Bool
	var looks atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			dir, err := store.Read(Key{Path: "/"}, 1, 2, &retired, func(dir *Directory) error {
				for i := range names {
					looks.Add(1)
					if _, err := dir.Add(strconv.Itoa(i), Row{}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
			dir.Release()
		})
	}
	all.Wait()
	if n := looks.Load(); n != names {
		t.Errorf("%d looks at %d names", n, names)
	}
	store.DropRoot(0)
	if used := store.Used.Load(); used != 0 {
		t.Errorf("%d bytes are reserved in the end", used)
	}
}

// TestReadingBegunTooEarly: a request for what is new has no reading that was begun before it came.
func TestReadingBegunTooEarly(t *testing.T) {
	store := NewStore()
	var retired atomic.Bool
	looks := 0
	for range 2 {
		dir, err := store.Read(Key{Path: "/"}, 2, 1, &retired, func(*Directory) error { looks++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		dir.Release()
	}
	if looks != 2 {
		t.Errorf("%d readings for two who wanted what is new", looks)
	}
	if len(store.readings) != 0 {
		t.Error("a reading is left")
	}
}

// TestUnwantedReadingIsNobodyElses: a caller that waited for one which was given up reads the directory itself.
func TestUnwantedReadingIsNobodyElses(t *testing.T) {
	store := NewStore()
	var retired atomic.Bool
	begun, end := make(chan struct{}), make(chan struct{})
	go func() {
		dir, err := store.Read(Key{Path: "/"}, 1, 2, &retired, func(*Directory) error {
			close(begun)
			<-end
			return ErrUnwanted
		})
		if dir != nil || err != ErrUnwanted {
			t.Errorf("%v, %v", dir, err)
		}
	}()
	<-begun
	done := make(chan struct{})
	go func() {
		defer close(done)
		dir, err := store.Read(Key{Path: "/"}, 1, 3, &retired, func(*Directory) error { return nil })
		if err != nil {
			t.Error(err)
			return
		}
		dir.Release()
	}()
	close(end)
	<-done
}
