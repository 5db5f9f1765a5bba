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
		counted := func(of audit.Type, count int, target audit.Target) {
			r := audit.Record{Type: audit.TypeRefusalsCounted, Target: target, Details: audit.RefusalCount{Type: of.String(), Count: count}}
			if err := e.db.WriteAudit(e.Context(), r); err != nil {
				e.Fatal(err)
			}
		}
		counted(audit.TypeSAMLAssertionFailed, 4000, audit.Target{Kind: "IdentityProvider", Name: "okta"})
		counted(audit.TypeSAMLAssertionReplayed, 300, audit.Target{Kind: "IdentityProvider", Name: "okta"})
		counted(audit.TypeUserAccessDenied, 7, audit.Target{Kind: "IdentityProvider", Name: "okta"}) // no refused response, as above
		counted(audit.TypeManagementDenied, 9, audit.Target{})
		e.clock.Step(time.Hour)
		e.write(1, audit.TypeEmailDomainNotBound)
		got, err := e.db.SignInActivity(e.Context(), start.Add(-time.Hour))
		if err != nil {
			e.Fatal(err)
		}
		want := map[store.Activity]bool{
			{Hour: start, IdP: "okta", Success: true, Count: 3}: true, {Hour: start, IdP: "okta", Count: 4302}: true, {Hour: start.Add(time.Hour), IdP: "okta", Count: 1}: true,
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
