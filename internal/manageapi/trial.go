package manageapi

import "time"

// Trial is what a test run of a connection came to.
type Trial struct {
	ID        string    `json:"id"`
	Reference string    `json:"reference"`
	IdP       string    `json:"idp"`
	At        time.Time `json:"at"`
	// Passed says that a person would be signed in, but for Enabled.
	Passed  bool `json:"passed"`
	Enabled bool `json:"enabled"`

	Checks []TrialCheck `json:"checks"`
	// Verified is false when what follows comes from a response that was refused.
	Verified     bool             `json:"verified"`
	Issuer       string           `json:"issuer,omitempty"`
	NameID       string           `json:"nameID,omitempty"`
	NameIDFormat string           `json:"nameIDFormat,omitempty"`
	Attributes   []TrialAttribute `json:"attributes,omitempty"`
	// Missing names the mapped values that were not sent, Dropped those whose values were not valid.
	Missing []string `json:"missing,omitempty"`
	Dropped []string `json:"dropped,omitempty"`
	// Outcome is what sign-in would have done, in sentences.
	Outcome []string `json:"outcome"`
}

// TrialCheck is one check with its verdict: passed, failed or not_reached.
type TrialCheck struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	// Sentence says what was wrong, Advice which setting to change.
	Sentence string `json:"sentence,omitempty"`
	Advice   string `json:"advice,omitempty"`
	Expected string `json:"expected,omitempty"`
	Actual   string `json:"actual,omitempty"`
}

// TrialAttribute is one attribute as it was sent. Use says what the mapping does with it, empty for nothing.
type TrialAttribute struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
	Use    string   `json:"use,omitempty"`
}

// TrialLink is a link that starts a test run.
type TrialLink struct {
	ID      string    `json:"id"`
	URL     string    `json:"url"`
	Expires time.Time `json:"expires"`
}
