//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/sallyport/test/internal/browser"
)

// signingIn are people of whom one begins to sign in every second.
type signingIn struct {
	began time.Time
	end   chan struct{}
	done  sync.WaitGroup

	mutex sync.Mutex
	// sessions are the identifiers of the sessions of those who have arrived.
	sessions []string
	longest  time.Duration
	failures []string
}

// keepSigningIn begins a sign-in every second as long as no more than four are under way: one IdP process answers them all.
func (w *world) keepSigningIn(signIn func() (session string, err error)) *signingIn {
	w.t.Helper()
	p := &signingIn{began: time.Now(), end: make(chan struct{})}
	places := make(chan struct{}, 4)
	p.done.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-p.end:
				return
			case <-ticker.C:
			}
			places <- struct{}{}
			p.done.Go(func() {
				defer func() { <-places }()
				at := time.Now()
				session, err := signIn()
				p.note(at, session, err)
			})
		}
	})
	w.t.Cleanup(p.close)
	return p
}

// byChromium lets alice sign in, each time in a window of its own and with no past, of one browser.
func (w *world) byChromium() func() (session string, err error) {
	chromium := w.browser()
	return func() (session string, err error) {
		var cookie string
		err = chromium.Visit(func(window *browser.Tab) {
			w.signInWith(window, w.AppURL+"/page?x=1", "alice@acme.example", "alice")
			window.WaitText("Hello Alice Adams")
			cookie = w.noteCookies(window)[sessionCookie]
		})
		if err != nil {
			return "", err
		}
		return sessionOf(cookie)
	}
}

func (p *signingIn) note(at time.Time, session string, err error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if err != nil {
		p.failures = append(p.failures, fmt.Sprintf("at %s: %v", at.Sub(p.began).Round(time.Millisecond), err))
		return
	}
	p.sessions = append(p.sessions, session)
	p.longest = max(p.longest, time.Since(at))
}

// pass waits until so many more people have arrived, and fails when one did not.
func (p *signingIn) pass(t *testing.T, more int) {
	t.Helper()
	count := func() (int, []string) {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		return len(p.sessions), p.failures
	}
	before, _ := count()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		now, failures := count()
		if len(failures) > 0 {
			t.Fatalf("%d of %d could not sign in:\n%s", len(failures), now+len(failures), strings.Join(failures[:min(len(failures), 10)], "\n"))
		}
		if now >= before+more {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d people have arrived in two minutes", now-before)
		}
	}
}

// close ends it once those who are on their way have arrived.
func (p *signingIn) close() {
	select {
	case <-p.end:
	default:
		close(p.end)
	}
	p.done.Wait()
}

// stop ends it, and holds that nobody has failed and that the audit log has a record of each who arrived.
func (p *signingIn) stop(w *world) {
	w.t.Helper()
	p.close()
	if len(p.failures) > 0 {
		w.t.Errorf("%d could not sign in:\n%s", len(p.failures), strings.Join(p.failures[:min(len(p.failures), 10)], "\n"))
	}
	recorded := w.recordedSessions()
	var lost []string
	for _, session := range p.sessions {
		if !recorded[session] {
			lost = append(lost, session)
		}
	}
	if len(lost) > 0 {
		w.t.Errorf("of %d sign-ins %d are not in the audit log, such as that of the session %s", len(p.sessions), len(lost), lost[0])
	}
	w.t.Logf("%d sign-ins in %s, the longest %s, %d failed, %d without a record", len(p.sessions), time.Since(p.began).Round(time.Second), p.longest.Round(10*time.Millisecond),
		len(p.failures), len(lost))
}

// recordedSessions are the sessions whose sign-in is in the audit log.
func (w *world) recordedSessions() map[string]bool {
	w.t.Helper()
	recorded := map[string]bool{}
	for line := range strings.Lines(w.sso("audit", "--type", "user_signed_in_saml", "--limit", "0", "-o", "ndjson")) {
		var record struct{ Session string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			w.t.Fatalf("kubectl sso audit -o ndjson: %v\n%s", err, line)
		}
		recorded[record.Session] = true
	}
	return recorded
}
