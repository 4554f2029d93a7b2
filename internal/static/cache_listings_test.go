package static

import (
	"testing"

	"github.com/evhttpd/evhttpd/internal/listing"
)

// TestListingsBound: the memory of listings is bounded by Limits where that is less than usual, with half of it for one
// directory.
func TestListingsBound(t *testing.T) {
	usual := listing.NewStore()
	for _, c := range []struct{ limit, all, one int64 }{
		{0, usual.Max, usual.DirectoryMax},
		{1 << 40, usual.Max, usual.DirectoryMax},
		{8 << 20, 8 << 20, 4 << 20},
	} {
		got := NewCache(Limits{Listings: c.limit}).listings
		if got.Max != c.all || got.DirectoryMax != c.one {
			t.Errorf("%d: %d bytes for all directories and %d for one", c.limit, got.Max, got.DirectoryMax)
		}
	}
}
