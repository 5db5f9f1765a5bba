package trust

import (
	"encoding/binary"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

func TestTheEndOfACertificateIsItsOwn(t *testing.T) {
	lifetimes := []time.Duration{time.Hour, 24 * time.Hour}
	var keys []snapshot.SPKey
	for _, lifetime := range lifetimes {
		key, err := NewHeaderKey(testNow, "https://sso.example.com", lifetime)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	ask := func() {
		t.Helper()
		for i, lifetime := range lifetimes {
			for range 2 {
				if end := notAfter(keys[i]); !end.Equal(testNow.Add(lifetime)) {
					t.Errorf("it ends %v, want %v", end, testNow.Add(lifetime))
				}
			}
		}
		if end := notAfter(snapshot.SPKey{Certificate: []byte("none")}); !end.IsZero() {
			t.Errorf("what is no certificate ends %v", end)
		}
	}
	ask()
	for i := range mostEnds {
		var digest [32]byte
		binary.BigEndian.PutUint64(digest[:], uint64(i))
		ends.of[digest] = testNow
	}
	third, err := NewHeaderKey(testNow, "https://sso.example.com", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if notAfter(third); len(ends.of) > mostEnds {
		t.Errorf("%d are remembered", len(ends.of))
	}
	ask()
}
