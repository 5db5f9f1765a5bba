package saml

import (
	"errors"
	"fmt"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
)

// LogoutRequest is an accepted request of the IdP to end sessions (saml-core 3.7.1).
type LogoutRequest struct {
	ID string
	// NameID is the person whose sessions end.
	NameID NameID
	// SessionIndexes limit which of them; empty means all.
	SessionIndexes []string
	IssueInstant   time.Time
	// ReplayUntil is until when the same request would be accepted again.
	ReplayUntil time.Time
	RelayState  string
	// Binding is how the request came, and how it is best answered.
	Binding string
}

// LogoutResponse is the IdP's verified answer to a LogoutRequest of ours.
type LogoutResponse struct {
	ID, InResponseTo string
	// Status and SubStatus are status URIs; Success tells whether every session at the IdP ended.
	Status, SubStatus string
	Success           bool
	StatusMessage     string
	RelayState        string
}

// maxLogoutAge bounds a LogoutRequest without NotOnOrAfter, which would otherwise be good for ever.
const maxLogoutAge = 5 * time.Minute

// AcceptLogoutRequest decides about a LogoutRequest. It must be signed: by the query with Redirect, by XML with POST. A refused
// request must end no session. It does not panic.
func (c *Connection) AcceptLogoutRequest(in Incoming, now time.Time) (request *LogoutRequest, refusal *Refusal) {
	m := &logoutMessage{Connection: c, in: in, now: now}
	defer m.finish(&refusal, func() { request = nil })
	n, r := m.open("SAMLRequest", "LogoutRequest")
	if r != nil {
		return nil, r
	}
	req := &LogoutRequest{ID: n.Value("ID"), RelayState: m.relayState, Binding: in.Binding, IssueInstant: m.issued}
	if req.ReplayUntil, r = m.checkLogoutExpiry(n); r != nil {
		return nil, r
	}
	if req.NameID, r = c.readIdentifier(n, true); r != nil {
		return nil, r
	}
	if req.NameID.Value == "" {
		return nil, c.refuse(ReasonMalformed, CheckSubject, "a NameID", "", "The LogoutRequest does not name a user.")
	}
	for s := n.First; s != nil; s = s.Next {
		if s.Is(nsProtocol, "SessionIndex") && s.First == nil {
			req.SessionIndexes = append(req.SessionIndexes, s.Trimmed())
		}
	}
	return req, nil
}

// AcceptLogoutResponse decides about the answer to the request with ID requestID. It must be signed. It does not panic.
func (c *Connection) AcceptLogoutResponse(in Incoming, requestID string, now time.Time) (response *LogoutResponse, refusal *Refusal) {
	m := &logoutMessage{Connection: c, in: in, now: now}
	defer m.finish(&refusal, func() { response = nil })
	n, r := m.open("SAMLResponse", "LogoutResponse")
	if r != nil {
		return nil, r
	}
	out := &LogoutResponse{ID: n.Value("ID"), InResponseTo: n.Value("InResponseTo"), RelayState: m.relayState}
	if requestID == "" || out.InResponseTo != requestID {
		return nil, c.refuse(ReasonInResponseToMismatch, CheckInResponseTo, requestID, clip(out.InResponseTo),
			fmt.Sprintf("The LogoutResponse answers request %q; the request that was sent is %q.", clip(out.InResponseTo), requestID))
	}
	var ok bool
	if out.Status, out.SubStatus, out.StatusMessage, ok = readStatus(n); !ok {
		return nil, c.refuse(ReasonMalformed, CheckStatus, StatusSuccess, "", "The LogoutResponse has no status.")
	}
	out.Success = out.Status == StatusSuccess && out.SubStatus != StatusPartialLogout
	return out, nil
}

// logoutMessage is one run of the checks that requests and responses share.
type logoutMessage struct {
	*Connection
	in  Incoming
	now time.Time

	xml        []byte
	original   *xmldoc.Node
	relayState string
	issued     time.Time
}

// finish turns a panic into a refusal and describes every refusal.
func (m *logoutMessage) finish(refusal **Refusal, drop func()) {
	if p := recover(); p != nil {
		*refusal = m.refuse(ReasonMalformed, CheckPanic, "", "", "The message could not be read.")
	}
	if *refusal != nil {
		drop()
		(*refusal).Advice = m.adviceOn(m.logoutTopicOf(*refusal))
		a := &acceptance{Connection: m.Connection, now: m.now, xml: m.xml, original: m.original}
		a.describe(*refusal)
	}
}

// open reads, verifies and checks everything that both messages have; the node it returns is made of signed bytes.
func (m *logoutMessage) open(field, local string) (*xmldoc.Node, *Refusal) {
	switch {
	case m.conf.Trust == nil:
		return nil, m.refuse(ReasonSignatureInvalid, CheckSignature, "", "", "Trust in this IdP is not established: no certificate of it is known.")
	case !m.conf.Logout.Enabled:
		return nil, m.refuse(ReasonIdPDisabled, CheckPolicy, "", "", "Single logout with this IdP is disabled.")
	}
	verify := m.openPOST
	if m.in.Binding == snapshot.BindingRedirect {
		verify = m.openRedirect
	}
	n, r := verify(field, local)
	if r != nil {
		return nil, r
	}
	if v := n.Value("Version"); v != "2.0" {
		return nil, m.refuse(ReasonMalformed, CheckVersion, "2.0", clip(v), fmt.Sprintf("The message has SAML version %q; only 2.0 is supported.", clip(v)))
	}
	if id := n.Value("ID"); id == "" || len(id) > 1024 {
		return nil, m.refuse(ReasonMalformed, CheckShape, "an ID", clip(id), "The message has no usable ID.")
	}
	if r := m.checkDestination(n, m.conf.SLOURL, true); r != nil {
		return nil, r
	}
	if r := m.checkIssuer(n, true); r != nil {
		return nil, r
	}
	m.issued, r = m.checkInstant(n, m.now)
	return n, r
}

// openPOST verifies the XML signature (saml-bindings 3.5).
func (m *logoutMessage) openPOST(_, local string) (*xmldoc.Node, *Refusal) {
	var r *Refusal
	if m.xml, r = m.decode(m.in.Value); r != nil {
		return nil, r
	}
	m.relayState = m.in.RelayState
	if r := m.parseOriginal(local); r != nil {
		return nil, r
	}
	verified, r := m.verify(m.original)
	if r != nil {
		return nil, r
	}
	n, r := m.parseMessage(verified)
	if r == nil && !n.Is(nsProtocol, local) {
		return nil, m.refuse(ReasonMalformed, CheckShape, local, clip(n.Local), "The signed bytes are not a "+local+".")
	}
	return n, r
}

func (m *logoutMessage) parseOriginal(local string) (r *Refusal) {
	if m.original, r = m.parseMessage(m.xml); r != nil {
		return r
	}
	if !m.original.Is(nsProtocol, local) {
		return m.refuse(ReasonMalformed, CheckShape, local, clip(m.original.Local), fmt.Sprintf("The message is a %q, not a %s.", clip(m.original.Local), local))
	}
	if what := oddPlaces(m.original); what != "" {
		return m.refuse(ReasonMalformed, CheckShape, "", what, "The message does not have the structure that SAML requires: "+what+".")
	}
	return nil
}

// openRedirect verifies the query's signature over the bytes that were received (saml-bindings 3.4.4.1). All of the message is covered.
func (m *logoutMessage) openRedirect(field, local string) (*xmldoc.Node, *Refusal) {
	q, err := parseRedirectQuery(m.in.RawQuery, m.limits.MaxMessage)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, m.refuse(ReasonLimitExceeded, CheckLimits, fmt.Sprintf("at most %d bytes", m.limits.MaxMessage), "",
			fmt.Sprintf("The message is larger than %d bytes.", m.limits.MaxMessage))
	case err != nil || q.field != field:
		return nil, m.refuse(ReasonMalformed, CheckEncoding, field, "", "The query is not a "+local+" of the Redirect binding.")
	}
	m.xml, m.relayState = q.message, q.relayState
	if r := m.parseOriginal(local); r != nil {
		return nil, r
	}
	if q.algorithm == "" {
		return nil, m.signatureRefusal(local, &xmldsig.Error{Kind: xmldsig.Missing})
	}
	if err := xmldsig.VerifyBytes([]byte(q.signed), q.algorithm, q.signature, m.policy()); err != nil {
		return nil, m.signatureRefusal(local, err)
	}
	return m.original, nil
}

// checkLogoutExpiry wants a NotOnOrAfter in the future, or a request that is not old.
func (m *logoutMessage) checkLogoutExpiry(n *xmldoc.Node) (time.Time, *Refusal) {
	until := m.issued.Add(maxLogoutAge)
	if v, ok := n.Attr("NotOnOrAfter"); ok {
		var err error
		if until, err = parseTime(v); err != nil {
			return until, m.refuse(ReasonMalformed, CheckNotOnOrAfter, "a time", clip(v), "The LogoutRequest's NotOnOrAfter is not a time.")
		}
	}
	if !m.now.Add(-m.skew()).Before(until) {
		return until, m.refuse(ReasonExpired, CheckNotOnOrAfter, "before "+stamp(until), stamp(m.now),
			fmt.Sprintf("The LogoutRequest was valid until %s and it is now %s; a clock skew of %s is allowed.", stamp(until), stamp(m.now), span(m.skew())))
	}
	return until.Add(m.skew()), nil
}
