package http1

import (
	"strings"
	"testing"
)

func TestCodingWeightsRFC9110Section12_5_3(t *testing.T) {
	type weights struct{ identity, gzip, br, zstd int }
	for _, c := range []struct {
		name, value string
		want        weights
	}{
		{"no value", "", weights{identity: 1}},
		{"one", "gzip", weights{1, 1000, 0, 0}},
		{"a browser's", "gzip, deflate, br, zstd", weights{1, 1000, 1000, 1000}},
		{"any case", "GZip, BR, ZstD", weights{1, 1000, 1000, 1000}},
		{"8.4.1.3 x-gzip", "x-gzip", weights{1, 1000, 0, 0}},
		{"weights", "gzip;q=0.5, br;q=0.25 ,zstd;q=1.000", weights{1, 500, 250, 1000}},
		{"white space", "gzip ; q=0.5\t,br;\tq=0.123", weights{1, 500, 123, 0}},
		{"capital Q", "gzip;Q=0.5", weights{1, 500, 0, 0}},
		{"least", "gzip;q=0.001", weights{1, 1, 0, 0}},
		{"excluded", "gzip;q=0, br;q=0.000", weights{identity: 1}},
		{"point without digits", "gzip;q=0., br;q=1.", weights{1, 0, 1000, 0}},
		{"asterisk", "*", weights{1, 1000, 1000, 1000}},
		{"asterisk and a name", "gzip;q=0.1, *;q=0.7", weights{1, 100, 700, 700}},
		{"asterisk but one", "*, br;q=0", weights{1, 1000, 0, 1000}},
		{"asterisk of 0", "*;q=0", weights{}},
		{"asterisk of 0 and a name", "gzip, *;q=0", weights{gzip: 1000}},
		{"asterisk of 0 and identity", "identity;q=0.5, *;q=0", weights{identity: 500}},
		{"identity", "identity", weights{identity: 1000}},
		{"identity of 0", "identity;q=0, gzip;q=0.2", weights{gzip: 200}},
		{"identity of 0 and asterisk", "identity;q=0, *", weights{0, 1000, 1000, 1000}},
		{"the first of two", "gzip;q=0, gzip", weights{identity: 1}},
		{"5.6.1 empty elements", ", ,gzip,,", weights{1, 1000, 0, 0}},
		{"others", "deflate, compress, aes128gcm, gzipp, b, brr", weights{identity: 1}},

		{"q over 1", "gzip;q=1.001, br;q=2", weights{identity: 1}},
		{"four digits", "gzip;q=0.1234", weights{identity: 1}},
		{"no number", "gzip;q=, br;q=x, zstd;q=.5", weights{identity: 1}},
		{"sign", "gzip;q=-1, br;q=+1", weights{identity: 1}},
		{"exponent", "gzip;q=1e0", weights{identity: 1}},
		{"no q", "gzip;, br;0.5, zstd;level=1", weights{identity: 1}},
		{"two parameters", "gzip;q=1;q=1, br;q=1;x=y", weights{identity: 1}},
		{"space around the equals sign", "gzip;q =1, br;q= 1", weights{identity: 1}},
		{"comma in the decimal", "gzip;q=0,5", weights{identity: 1}},
		{"no comma", "gzip br", weights{identity: 1}},
		{"no token", "(gzip), \"br\", \x80zstd", weights{identity: 1}},
		{"no name", ";q=1", weights{identity: 1}},
		{"garbage beside a good one", "gzip;q=9, br;;, zstd", weights{1, 0, 0, 1000}},
		{"very many", strings.Repeat("a;q=0.5,", 4000) + "br", weights{1, 0, 1000, 0}},
	} {
		var w CodingWeights
		w.Add([]byte(c.value))
		got := weights{w.Of(CodingIdentity), w.Of(CodingGzip), w.Of(CodingBrotli), w.Of(CodingZstd)}
		if got != c.want {
			t.Errorf("%s: %.60q: got %+v, want %+v", c.name, c.value, got, c.want)
		}
	}
	var w CodingWeights
	w.Add([]byte("gzip;q=0.5"))
	w.Add([]byte("gzip, br"))
	if w.Of(CodingGzip) != 500 || w.Of(CodingBrotli) != 1000 {
		t.Errorf("on two lines: %+v", w)
	}
}

func TestCodingWeightsAllocateNothing(t *testing.T) {
	value := []byte("gzip, deflate;q=0.5, br, zstd")
	if n := testing.AllocsPerRun(100, func() {
		var w CodingWeights
		w.Add(value)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCodingWeights(b *testing.B) {
	value := []byte("gzip, deflate, br, zstd")
	for b.Loop() {
		var w CodingWeights
		w.Add(value)
	}
}

func FuzzCodingWeights(f *testing.F) {
	f.Add("gzip;q=0.5, *;q=0")
	f.Fuzz(func(t *testing.T, value string) {
		var w CodingWeights
		w.Add([]byte(value))
		for c := range numCodings {
			if n := w.Of(c); n < 0 || n > 1000 {
				t.Errorf("%q: %v has weight %d", value, c, n)
			}
		}
	})
}
