package manageapi

import "time"

// Explanation says where an address signs in, what that came to, and what would fail.
type Explanation struct {
	Address string `json:"address"`
	// IdP is the connection that signs the address in, Binding the DomainBinding that says so, Domain its domain; CatchAll where none does.
	IdP      string `json:"idp,omitempty"`
	Binding  string `json:"binding,omitempty"`
	Domain   string `json:"domain,omitempty"`
	CatchAll bool   `json:"catchAll,omitempty"`
	// State is usable, disabled, waiting (no trust yet) or missing.
	State string `json:"state"`
	// User is the person as they are known, nil where nobody is.
	User *User `json:"user,omitempty"`
	// Asserted is what today's mapping makes of what the IdP sent last; nil where it sent nothing yet.
	Asserted *Asserted `json:"asserted,omitempty"`
	// LastFailure is the last refused response for the address, as far as the debug log goes back.
	LastFailure *DebugEntry `json:"lastFailure,omitempty"`
	// Problems say what a sign-in of now would fail on.
	Problems []string `json:"problems"`
	// Access is about the URL that was asked for.
	Access *AccessDecision `json:"access,omitempty"`
}

// Asserted is a person as the mapping makes them.
type Asserted struct {
	At        time.Time   `json:"at"`
	Email     string      `json:"email,omitempty"`
	FirstName string      `json:"firstName,omitempty"`
	LastName  string      `json:"lastName,omitempty"`
	Groups    []string    `json:"groups,omitempty"`
	Rules     []RuleMatch `json:"rules,omitempty"`
	// FailedRules add nothing, because they could not be evaluated.
	FailedRules []RuleFailure     `json:"failedRules,omitempty"`
	Profile     map[string]string `json:"profile,omitempty"`
	Missing     []string          `json:"missing,omitempty"`
	Dropped     []string          `json:"dropped,omitempty"`
}

// RuleMatch is a rule of the mapping that was true, counted from 1, and the groups that it adds.
type RuleMatch struct {
	Rule   int      `json:"rule"`
	When   string   `json:"when"`
	Groups []string `json:"groups"`
}

// RuleFailure is a rule of the mapping that could not be evaluated, counted from 1: Reason is a word for why, and Message says what was wrong and what to do.
type RuleFailure struct {
	Rule    int    `json:"rule"`
	When    string `json:"when"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// AccessAllowed is the outcome that lets a request pass; the others are SignIn and Denied.
const AccessAllowed = "Allowed"

// AccessDecision is what the access rules say about one page, and why. Rule is the place of the rule that decided in spec.access.rules, from 0; -1 when none did.
type AccessDecision struct {
	Outcome string `json:"outcome"`
	Rule    int    `json:"rule"`
	Why     string `json:"why"`
}
