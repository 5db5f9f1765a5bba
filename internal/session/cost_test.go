package session_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
)

// TestWhatACachedSessionCosts holds the estimate that bounds the cache against the heap, and the cost against what was aimed for: 20,000 people of one IdP.
func TestWhatACachedSessionCosts(t *testing.T) {
	const people = 20_000
	m, err := session.NewManager(nil, session.Options{CacheBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	values, weight := 0, 0
	for i := range people {
		s := read(i)
		values += len(s.UserID) + len(s.User.Email) + len(s.User.Name()) + len(session.GroupsHeader(s.Groups))
		weight += int(session.Put(m, s))
	}
	each := (heap() - before) / people
	t.Logf("%d bytes of heap for a session, of which %d are its own values; estimated %d", each, values/people, weight/people)
	if own := values / people; each-own > 350 {
		t.Errorf("%d bytes beyond its own values", each-own)
	}
	if estimate := weight / people; estimate < each*3/4 || estimate > each*3/2 {
		t.Errorf("the cache's bound counts %d bytes for what takes %d", estimate, each)
	}
	if n, _ := m.CacheStats(); n != people {
		t.Errorf("%d sessions in the cache", n)
	}
}

// read is a session as the store's driver makes it: every value is a string of its own.
func read(i int) store.Session {
	own := strings.Clone
	idp := func() store.IdPRef {
		return store.IdPRef{UID: own("0194d2c8-0000-7000-8000-000000000001"), Name: own("okta")}
	}
	id, now := fmt.Sprintf("0194d2c8-0000-7000-8000-%012d", i), time.Now()
	_, key := session.NewToken()
	hash := append([]byte(nil), key[:]...)
	return store.Session{
		TokenHash: hash, UserID: id, IdP: idp(), NameID: store.NameID{Value: fmt.Sprintf("subject-%d", i), Format: own("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent")},
		SessionIndex: fmt.Sprintf("_index-%d", i), AuthnContext: own("urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"), CreatedAt: now, LastSeenAt: now,
		ExpiresAt: now.Add(time.Hour), IdleTimeout: time.Hour, IP: "203.0.113.7", UserAgent: own("Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0 Safari/537.36"),
		EmailDomain: own("acme.example"), Groups: []string{own("dev"), own("ml-team")},
		User: store.User{ID: own(id), Email: fmt.Sprintf("person-%d@acme.example", i), FirstName: fmt.Sprintf("First-%d", i), LastName: fmt.Sprintf("Last-%d", i), IdP: idp(),
			CreatedAt: now, UpdatedAt: now, LastSignInAt: now, LastSignInIP: own("203.0.113.7")},
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}
