package provision_test

import (
	"errors"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/store"
)

// TestABreakGlassLinkEndsAfterTenMinutes to the second, and one that was not used in time cannot be made good again.
func TestABreakGlassLinkEndsAfterTenMinutes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		result := w.must(w.signIn("okta", email("alice@example.com")))
		link := func() string {
			t.Helper()
			secret, expires, err := w.service.BreakGlass(t.Context(), result.User, "the IdP is down", provision.Caller{}, w.clock.Now())
			if err != nil || !expires.Equal(w.clock.Now().Add(10*time.Minute)) {
				t.Fatal(expires, err)
			}
			return secret
		}
		use := func(secret string) error {
			_, err := w.service.UseBreakGlass(t.Context(), secret, provision.BreakGlassUse{
				Refuses: func(string, string) identity.Reason { return "" }, RequireSecondFactor: func(store.IdPRef, bool) bool { return false }})
			return err
		}
		inTime, late := link(), link()
		w.clock.Step(10*time.Minute - time.Second)
		if err := use(inTime); err != nil {
			t.Errorf("a second before its end: %v", err)
		}
		w.clock.Step(time.Second)
		for range 2 {
			if err := use(late); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("after ten minutes: %v", err)
			}
		}
	})
}
