package store_test

import (
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
)

func TestSignInActivityIsCountedPerHourAndIdP(t *testing.T) {
	eachAudit(t, func(e *auditEnv) {
		e.write(3, audit.TypeUserSignedInSAML)
		e.write(2, audit.TypeSAMLAssertionFailed)
		e.write(1, audit.TypeUserSuspended) // no sign-in
		e.clock.Step(time.Hour)
		e.write(1, audit.TypeEmailDomainNotBound)
		got, err := e.db.SignInActivity(e.Context(), start.Add(-time.Hour))
		if err != nil {
			e.Fatal(err)
		}
		want := map[store.Activity]bool{
			{Hour: start, IdP: "okta", Success: true, Count: 3}: true, {Hour: start, IdP: "okta", Count: 2}: true, {Hour: start.Add(time.Hour), IdP: "okta", Count: 1}: true,
		}
		if len(got) != len(want) {
			e.Errorf("%+v", got)
		}
		for _, a := range got {
			if !want[a] {
				e.Errorf("%+v", a)
			}
		}
		if later, err := e.db.SignInActivity(e.Context(), start.Add(time.Hour)); err != nil || len(later) != 1 {
			e.Errorf("%+v %v", later, err)
		}
	})
}
