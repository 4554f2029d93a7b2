package quota

import "math"

// shareRest is what one use of the memory leaves for all others, in bytes, unless its part is more.
const shareRest = 192 << 20

// Share is what one use may take of the memory that there is, in bytes: what is wanted, or less where the process would
// be killed for it, but always one of so many parts. there is what Memory says.
func Share(wanted int64, there uint64, parts int64) int64 {
	if there == 0 {
		return wanted
	}
	most := int64(min(there, math.MaxInt64))
	return min(wanted, max(most/parts, most-shareRest))
}
