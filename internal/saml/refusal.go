package saml

import (
	"time"
)

// Reason says why a message or a person was refused. The list is closed: metrics, Events and the debug log key on it.
type Reason string

// The reasons. Those from MissingEmail to SecondFactorFailed, and Replayed, are found by the layers that hold state; they live
// here so that every refusal is explained in one place.
const (
	ReasonSignatureInvalid     Reason = "signature_invalid"
	ReasonCertificateMismatch  Reason = "certificate_mismatch"
	ReasonAudienceMismatch     Reason = "audience_mismatch"
	ReasonRecipientMismatch    Reason = "recipient_mismatch"
	ReasonExpired              Reason = "expired"
	ReasonNotYetValid          Reason = "not_yet_valid"
	ReasonInResponseToMismatch Reason = "in_response_to_mismatch"
	ReasonReplayed             Reason = "replayed"
	ReasonIssuerMismatch       Reason = "issuer_mismatch"
	ReasonDecryptionFailed     Reason = "decryption_failed"
	ReasonAlgorithmRefused     Reason = "algorithm_refused"
	ReasonMalformed            Reason = "malformed"
	ReasonLimitExceeded        Reason = "limit_exceeded"
	ReasonMissingEmail         Reason = "missing_email"
	ReasonDomainNotBound       Reason = "domain_not_bound"
	ReasonIdPDisabled          Reason = "idp_disabled"
	ReasonUserNotFound         Reason = "user_not_found"
	ReasonUserSuspended        Reason = "user_suspended"
	ReasonSecondFactorFailed   Reason = "second_factor_failed"
	ReasonStatusNotSuccess     Reason = "status_not_success"
)

// Reasons lists every Reason in the order of the documentation.
func Reasons() []Reason {
	return []Reason{
		ReasonSignatureInvalid, ReasonCertificateMismatch, ReasonAudienceMismatch, ReasonRecipientMismatch, ReasonExpired,
		ReasonNotYetValid, ReasonInResponseToMismatch, ReasonReplayed, ReasonIssuerMismatch, ReasonDecryptionFailed,
		ReasonAlgorithmRefused, ReasonMalformed, ReasonLimitExceeded, ReasonMissingEmail, ReasonDomainNotBound, ReasonIdPDisabled,
		ReasonUserNotFound, ReasonUserSuspended, ReasonSecondFactorFailed, ReasonStatusNotSuccess,
	}
}

// Refusal is why a message was not accepted. It is written to the debug log whole; the person at the browser sees a constant
// sentence and a reference, and logs see Error, which carries no value of the message.
type Refusal struct {
	Reason Reason
	// Check names the rule that refused, such as "conditions.audience"; it is one of Checks.
	Check Check
	// Expected and Actual are the two values that differ, where the rule compares two values.
	Expected, Actual string
	// Sentence says what was wrong, with the values. Advice says which setting on which side to change, in the words of the
	// IdP's own console; it is empty where no setting can help.
	Sentence, Advice string
	// Unverified is what could be read of the message. Nothing of it was verified: it is for people who debug, never for a decision.
	Unverified *Unverified
	// ClockDifference is the message's IssueInstant minus our clock, and zero when the message has none.
	ClockDifference time.Duration
	// XML is the decoded message, within the limits; nil when it could not be decoded.
	XML []byte
}

// Error names the reason and the rule and nothing else, so that it can be logged.
func (r *Refusal) Error() string {
	return "saml: " + string(r.Reason) + " (" + string(r.Check) + ")"
}

// Unverified is what a refused message claims.
type Unverified struct {
	ID, Issuer, InResponseTo string
	AssertionID              string
	NameID                   NameID
	Attributes               []Attribute
}
