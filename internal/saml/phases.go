package saml

import "context"

type phasesKey struct{}

// The phases that Accept tells of.
const (
	PhaseParse           = "saml.parse"
	PhaseVerifyResponse  = "saml.verify_response"
	PhaseDecrypt         = "saml.decrypt"
	PhaseVerifyAssertion = "saml.verify_assertion"
	PhaseReadClaims      = "saml.read_claims"
)

// WithPhases has Accept call begin at the start of each phase, and what begin returns at its end.
func WithPhases(ctx context.Context, begin func(phase string) (end func())) context.Context {
	return context.WithValue(ctx, phasesKey{}, begin)
}

func phases(ctx context.Context) func(string) func() {
	if begin, ok := ctx.Value(phasesKey{}).(func(string) func()); ok {
		return begin
	}
	return func(string) func() { return nothing }
}

func nothing() {}

func (a *acceptance) begin(phase string) (end func()) {
	if a.phase == nil {
		return nothing
	}
	return a.phase(phase)
}
