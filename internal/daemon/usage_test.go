package daemon

import "testing"

// TestUsage: the control plane tells what the process has used, which never goes back.
func TestUsage(t *testing.T) {
	before := usageNow()
	for usageNow().CPU < before.CPU+0.01 {
	}
	if u := usageNow(); u.CPU <= 0 || u.Voluntary < before.Voluntary || u.Involuntary < before.Involuntary {
		t.Errorf("%+v after %+v", u, before)
	}
}
