package quota

import "math"

// cacheRest is what a cache leaves of the memory for all else, in bytes, unless that is more than three quarters.
const cacheRest = 192 << 20

// Cache is what a cache may take of the memory that there is, in bytes: what is wanted, or less where the process would
// be killed for it. there is what Memory says.
func Cache(wanted int64, there uint64) int64 {
	if there == 0 {
		return wanted
	}
	most := int64(min(there, math.MaxInt64))
	return min(wanted, max(most/4, most-cacheRest))
}
