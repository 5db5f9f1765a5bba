package saml

import (
	"fmt"
	"strings"
)

// topic is what an administrator can change.
type topic string

const (
	topicAudience     topic = "audience"
	topicACS          topic = "acs"
	topicCertificate  topic = "certificate"
	topicSigning      topic = "signing"
	topicSignResponse topic = "signResponse"
	topicAlgorithm    topic = "algorithm"
	topicIssuer       topic = "issuer"
	topicClock        topic = "clock"
	topicUnsolicited  topic = "unsolicited"
	topicEncryption   topic = "encryption"
	topicEmail        topic = "email"
	topicAssignment   topic = "assignment"
	topicContext      topic = "context"
	topicSize         topic = "size"
	topicDomain       topic = "domain"
	topicState        topic = "state"
	topicUser         topic = "user"
	topicSuspended    topic = "suspended"
	topicFactor       topic = "factor"
	topicLogoutURL    topic = "logoutURL"
	topicSignLogout   topic = "signLogout"
	topicLogoutState  topic = "logoutState"
	topicLogoutAnswer topic = "logoutAnswer"
	topicTrust        topic = "trust"
	topicRequest      topic = "request"
	topicReplay       topic = "replay"
	topicMalformed    topic = "malformed"
)

// topicOf finds what the advice for a refusal is about.
func (c *Connection) topicOf(r *Refusal) topic {
	switch r.Reason {
	case ReasonAudienceMismatch:
		return topicAudience
	case ReasonRecipientMismatch:
		if r.Expected == c.conf.SLOURL && r.Expected != "" {
			return topicLogoutURL
		}
		return topicACS
	case ReasonCertificateMismatch:
		return topicCertificate
	case ReasonSignatureInvalid:
		return c.signatureTopic(r)
	case ReasonAlgorithmRefused:
		if r.Check == CheckEncryption {
			return topicEncryption
		}
		return topicAlgorithm
	case ReasonIssuerMismatch:
		return topicIssuer
	case ReasonExpired, ReasonNotYetValid:
		return topicClock
	case ReasonInResponseToMismatch:
		if r.Check == CheckPending && r.Actual != c.conf.Name {
			return topicUnsolicited
		}
		return topicRequest
	case ReasonReplayed:
		return topicReplay
	case ReasonDecryptionFailed:
		return topicEncryption
	case ReasonMalformed:
		if r.Check == CheckEncryption {
			return topicEncryption
		}
	case ReasonMissingEmail:
		return topicEmail
	case ReasonStatusNotSuccess:
		if r.Check == CheckAuthnContext {
			return topicContext
		}
		return topicAssignment
	case ReasonLimitExceeded:
		return topicSize
	case ReasonDomainNotBound:
		return topicDomain
	case ReasonIdPDisabled:
		return topicState
	case ReasonUserNotFound:
		return topicUser
	case ReasonUserSuspended:
		return topicSuspended
	case ReasonSecondFactorFailed:
		return topicFactor
	}
	return topicMalformed
}

func (c *Connection) signatureTopic(r *Refusal) topic {
	switch {
	case c.conf.Trust == nil:
		return topicTrust
	case r.Expected == "a signed Response":
		return topicSignResponse
	case r.Actual == "none":
		return topicSigning
	}
	return topicCertificate
}

// logoutTopicOf is topicOf for messages of single logout, whose settings are others.
func (c *Connection) logoutTopicOf(r *Refusal) topic {
	switch {
	case r.Reason == ReasonIdPDisabled:
		return topicLogoutState
	case r.Reason == ReasonSignatureInvalid && c.conf.Trust != nil && r.Actual == "none":
		return topicSignLogout
	case r.Reason == ReasonInResponseToMismatch:
		return topicLogoutAnswer
	}
	return c.topicOf(r)
}

// advice is what to do about a refusal.
func (c *Connection) advice(r *Refusal) string { return c.adviceOn(c.topicOf(r)) }

// adviceOn fills the text for a topic and the IdP's type. What is the same for every type stands under "".
func (c *Connection) adviceOn(t topic) string {
	texts := adviceTexts[t]
	text, ok := texts[c.conf.Type]
	if !ok {
		if text, ok = texts["Generic"]; !ok {
			text = texts[""]
		}
	}
	issuer, in := "", ""
	if c.conf.Trust != nil {
		issuer = c.conf.Trust.EntityID
	}
	if c.namespace != "" {
		in = " -n " + c.namespace
	}
	return strings.NewReplacer("{entityID}", c.conf.EntityID, "{acs}", c.conf.ACSURL, "{slo}", c.conf.SLOURL, "{metadata}", c.conf.MetadataURL,
		"{name}", c.conf.Name, "{in}", in, "{issuer}", issuer, "{skew}", span(c.skew())).Replace(text)
}

// policySentence explains the reasons that other layers find.
func policySentence(reason Reason, expected, actual string) string {
	switch reason {
	case ReasonReplayed:
		return "This response was used before: each one signs in once."
	case ReasonMissingEmail:
		return fmt.Sprintf("The assertion has no usable e-mail address: looked for %s, found %s.", orNothing(expected), orNothing(actual))
	case ReasonDomainNotBound:
		return fmt.Sprintf("The assertion is for an address of domain %q, which this IdP may not assert.", actual)
	case ReasonIdPDisabled:
		return "Sign-in through this IdP is disabled."
	case ReasonUserNotFound:
		return "There is no user for this person, and users are not created at sign-in."
	case ReasonUserSuspended:
		return "The user is suspended."
	case ReasonSecondFactorFailed:
		return "The second factor was not verified."
	}
	why := strings.ReplaceAll(string(reason), "_", " ")
	if expected != "" || actual != "" {
		return fmt.Sprintf("The message was refused (%s): %s was expected, it was %s.", why, orNothing(expected), orNothing(actual))
	}
	return "The message was refused: " + why + "."
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
