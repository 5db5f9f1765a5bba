package signin

import (
	"fmt"
	"testing"
)

func TestIntakeBoundsWhatIsRead(t *testing.T) {
	for _, c := range []struct {
		maxBody             int64
		most, mostPerClient int
	}{{DefaultMaxBody, 256, 64}, {MaxMaxBody, 32, 8}, {1 << 30, 16, 4}} {
		i := newIntake(c.maxBody)
		var leaves []func()
		enter := func(client string) bool {
			leave, ok := i.enter(client)
			if ok {
				leaves = append(leaves, leave)
			}
			return ok
		}
		for n := range c.mostPerClient {
			if !enter("mallory") {
				t.Fatalf("%d bytes: the %d. body of one client", c.maxBody, n+1)
			}
		}
		if enter("mallory") {
			t.Errorf("%d bytes: more than %d bodies of one client", c.maxBody, c.mostPerClient)
		}
		for n := range c.most - c.mostPerClient {
			if !enter(fmt.Sprint("client ", n)) {
				t.Fatalf("%d bytes: the %d. body of all", c.maxBody, c.mostPerClient+n+1)
			}
		}
		if enter("alice") {
			t.Errorf("%d bytes: more than %d bodies", c.maxBody, c.most)
		}
		for _, leave := range leaves {
			leave()
		}
		if i.all != 0 || len(i.of) != 0 {
			t.Errorf("%d bytes: %d bodies and %d clients are left", c.maxBody, i.all, len(i.of))
		}
	}
}
