package manageapi

import "time"

// DebugEntry is an entry of the debug log.
type DebugEntry struct {
	ID        string    `json:"id"`
	Reference string    `json:"reference"`
	At        time.Time `json:"at"`
	IdP       string    `json:"idp"`
	Success   bool      `json:"success"`
	ErrorType string    `json:"errorType,omitempty"`
	// Sentence is what was wrong, Advice which setting to change, on which side.
	Sentence        string              `json:"sentence,omitempty"`
	Advice          string              `json:"advice,omitempty"`
	Check           string              `json:"check,omitempty"`
	Expected        string              `json:"expected,omitempty"`
	Actual          string              `json:"actual,omitempty"`
	Verified        bool                `json:"verified"`
	Issuer          string              `json:"issuer,omitempty"`
	NameID          *NameID             `json:"nameID,omitempty"`
	Email           string              `json:"email,omitempty"`
	Attributes      map[string][]string `json:"attributes,omitempty"`
	RequestID       string              `json:"requestID,omitempty"`
	IP              string              `json:"ip,omitempty"`
	UserAgent       string              `json:"userAgent,omitempty"`
	ClockDifference string              `json:"clockDifference,omitempty"`
	// XML is there only when it is asked for.
	XML string `json:"xml,omitempty"`
}

// NameID is a saml:NameID (saml-core 2.2.3).
type NameID struct {
	Value           string `json:"value"`
	Format          string `json:"format,omitempty"`
	NameQualifier   string `json:"nameQualifier,omitempty"`
	SPNameQualifier string `json:"spNameQualifier,omitempty"`
}
