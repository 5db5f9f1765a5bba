package pages

// BreakGlass asks whether to sign in without the identity provider.
type BreakGlass struct {
	Secret, IssuedBy string
	Expires          Time
}

func (BreakGlass) view() (name, title, policy string) {
	return "break-glass", "Sign in once", policyHere
}
