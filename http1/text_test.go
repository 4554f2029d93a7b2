package http1

import "testing"

func TestTextOfOptions(t *testing.T) {
	for s, want := range map[string]struct{ control, value, token bool }{
		"": {value: true}, "X-A_1": {value: true, token: true}, "a b": {value: true}, "ü": {value: true}, " a": {},
		"a\u00a0": {}, "a\tb": {control: true}, "\x7f": {control: true}, "\x00": {control: true},
	} {
		if HasControl(s) != want.control || IsValue(s) != want.value || IsToken(s) != want.token {
			t.Errorf("%q: control %v, value %v, token %v", s, HasControl(s), IsValue(s), IsToken(s))
		}
	}
}
