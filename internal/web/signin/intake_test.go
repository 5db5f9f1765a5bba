package signin

import (
	"fmt"
	"net/http"
	"testing"

	"sallyport.dev/sallyport/internal/saml"
)

func TestIntakeBoundsWhatIsRead(t *testing.T) {
	for _, c := range []struct {
		body                int64
		most, mostPerClient int
	}{{0, 256, 64}, {saml.DefaultMaxMessage, 256, 64}, {saml.DefaultMaxMessage + 1, 128, 32}, {saml.MostMaxMessage, 32, 8}} {
		i := newIntake()
		var leaves []func()
		enter := func(client string) bool {
			leave, ok := i.enter(client, shares(c.body))
			if ok {
				leaves = append(leaves, leave)
			}
			return ok
		}
		for n := range c.mostPerClient {
			if !enter("mallory") {
				t.Fatalf("%d bytes: the %d. body of one client", c.body, n+1)
			}
		}
		if enter("mallory") {
			t.Errorf("%d bytes: more than %d bodies of one client", c.body, c.mostPerClient)
		}
		for n := range c.most - c.mostPerClient {
			if !enter(fmt.Sprint("client ", n)) {
				t.Fatalf("%d bytes: the %d. body of all", c.body, c.mostPerClient+n+1)
			}
		}
		if enter("alice") {
			t.Errorf("%d bytes: more than %d bodies", c.body, c.most)
		}
		for _, leave := range leaves {
			leave()
		}
		if i.all != 0 || len(i.of) != 0 {
			t.Errorf("%d bytes: %d bodies and %d clients are left", c.body, i.all, len(i.of))
		}
	}
}

// TestABodyTakesWhatItMayComeToTake: one of unknown length, or of too many bytes, as much as is allowed to any.
func TestABodyTakesWhatItMayComeToTake(t *testing.T) {
	for length, want := range map[int64]int{-1: 8, 0: 1, 10 << 10: 1, 256 << 10: 1, 256<<10 + 1: 2, 2 << 20: 8, 1 << 40: 8} {
		if got := bodyShares(&http.Request{ContentLength: length}, saml.MostMaxMessage); got != want {
			t.Errorf("%d bytes: %d shares, want %d", length, got, want)
		}
	}
	if got := bodyShares(&http.Request{ContentLength: -1}, saml.DefaultMaxMessage); got != 1 {
		t.Errorf("by default: %d shares", got)
	}
}
