package site

import (
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

// TestWhatIsTheSameIsTakenOverAndWhatIsNotIsMadeAnew goes from one Site to the next.
func TestWhatIsTheSameIsTakenOverAndWhatIsNotIsMadeAnew(t *testing.T) {
	other, err := samltest.NewIdP("https://other.example.com", "https://other.example.com/sso", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*snapshot.Connection){
		"nothing":    nil,
		"generation": func(c *snapshot.Connection) { c.Generation++ },
		"disabled":   func(c *snapshot.Connection) { c.Enabled = false },
		"mapping":    func(c *snapshot.Connection) { c.Mapping.Email = []snapshot.AttributeSource{{Name: "mail"}} },
		"another IdP": func(c *snapshot.Connection) {
			connection, err := other.Connection("https://sso.example.com", c.Name, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			c.Trust = connection.Trust
		},
		"key":        func(c *snapshot.Connection) { c.Keys = c.Keys[:0] },
		"new object": func(c *snapshot.Connection) { c.UID = "uid-new" },
	} {
		t.Run(name, func(t *testing.T) {
			s := testSnapshot(t)
			before, broken, err := Compile(nil, s, "r1")
			if err != nil || len(broken) > 0 {
				t.Fatal(err, broken)
			}
			next := s
			next.Connections = append([]snapshot.Connection{}, s.Connections...)
			if change != nil {
				change(&next.Connections[0])
			}
			after, broken, err := Compile(before, next, "r2")
			if err != nil || len(broken) > 0 {
				t.Fatal(err, broken)
			}
			if after.Connection("alpha") != before.Connection("alpha") || after.ConnectionByUID("uid-off") != before.ConnectionByUID("uid-off") {
				t.Error("a connection that is the same was made anew")
			}
			zeta := after.Connection("zeta")
			if taken := zeta == before.Connection("zeta"); taken != (change == nil) {
				t.Errorf("taken over: %v", taken)
			}
			if !snapshot.SameConnection(&zeta.Connection, &next.Connections[0]) || after.ConnectionByUID(next.Connections[0].UID) != zeta || zeta.UID != next.Connections[0].UID {
				t.Error("what is served is not what the snapshot has")
			}
			if usable := len(after.Usable()); usable != map[bool]int{true: 2, false: 1}[zeta.Enabled] || after.Revision != "r2" {
				t.Errorf("%d are usable in %s", usable, after.Revision)
			}
		})
	}
}

// TestOtherLimitsMakeEveryConnectionAnew: a connection carries its own.
func TestOtherLimitsMakeEveryConnectionAnew(t *testing.T) {
	s := testSnapshot(t)
	before, _, err := Compile(nil, s, "r1")
	if err != nil {
		t.Fatal(err)
	}
	for maxBytes, anew := range map[int]bool{0: false, 256 << 10: false, 2 << 20: true} {
		s.ServiceProvider.MaxResponseBytes = maxBytes
		after, _, err := Compile(before, s, "r2")
		if err != nil {
			t.Fatal(err)
		}
		if taken := after.Connection("zeta") == before.Connection("zeta"); taken == anew || after.MaxBody() != int64(max(maxBytes, 256<<10)) {
			t.Errorf("%d bytes: taken over %v, %d are read", maxBytes, taken, after.MaxBody())
		}
	}
}

// TestABrokenConnectionIsTriedAgain leaves nothing of it in what the next Site takes over.
func TestABrokenConnectionIsTriedAgain(t *testing.T) {
	good, bad := testSnapshot(t), testSnapshot(t)
	bad.Connections[0].Keys = []snapshot.SPKey{{Phase: snapshot.KeyCurrent, PrivateKey: []byte("none")}}
	site, broken, err := Compile(nil, bad, "r1")
	if err != nil || len(broken) != 1 {
		t.Fatal(err, broken)
	}
	if _, broken, err = Compile(site, bad, "r2"); err != nil || len(broken) != 1 {
		t.Errorf("the second time %d are broken (%v)", len(broken), err)
	}
	site, broken, err = Compile(site, good, "r3")
	if err != nil || len(broken) > 0 || site.Connection("zeta") == nil {
		t.Errorf("it is not served once it is in order: %v %v", broken, err)
	}
	if site, _, _ = Compile(site, bad, "r4"); site.Connection("zeta") != nil {
		t.Error("a connection that has broken is served as it was")
	}
}
