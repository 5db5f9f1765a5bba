package saml

// XML namespaces and identifiers of SAML 2.0.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsXSI       = "http://www.w3.org/2001/XMLSchema-instance"

	bearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer" // #nosec G101 -- a name of the standard

	// Status codes (saml-core 3.2.2.2).
	StatusSuccess       = "urn:oasis:names:tc:SAML:2.0:status:Success"
	StatusPartialLogout = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
)

// Check names one rule. The list is closed, and the documentation's table is in its order.
type Check string

// The checks in the order in which Accept makes them.
const (
	CheckPending       Check = "request.pending"
	CheckEncoding      Check = "message.encoding"
	CheckLimits        Check = "message.limits"
	CheckXML           Check = "message.xml"
	CheckShape         Check = "message.shape"
	CheckVersion       Check = "message.version"
	CheckStatus        Check = "response.status"
	CheckDestination   Check = "message.destination"
	CheckIssuer        Check = "message.issuer"
	CheckInResponseTo  Check = "response.inResponseTo"
	CheckIssueInstant  Check = "message.issueInstant"
	CheckEncryption    Check = "assertion.encryption"
	CheckSignature     Check = "message.signature"
	CheckSubject       Check = "subject.nameID"
	CheckConfirmation  Check = "subject.confirmation"
	CheckConditions    Check = "conditions"
	CheckAudience      Check = "conditions.audience"
	CheckAuthn         Check = "authnStatement"
	CheckSessionExpiry Check = "authnStatement.sessionNotOnOrAfter"
	CheckAuthnContext  Check = "authnStatement.authnContext"
	CheckForceAuthn    Check = "authnStatement.authnInstant"
	CheckNotOnOrAfter  Check = "logout.notOnOrAfter"
	CheckPanic         Check = "message.panic"
	// CheckPolicy is for the reasons that other layers find.
	CheckPolicy Check = "policy"
)
