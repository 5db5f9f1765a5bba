package saml

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// acceptance is one run of the pipeline.
type acceptance struct {
	*Connection
	pending *Pending
	now     time.Time
	// phase begins a phase of the work, and returns how to end it; nil tells nobody.
	phase func(string) func()

	xml []byte
	// original is what was received. It is consulted for signatures, ciphertext and diagnosis only.
	original *xmldoc.Node
	// response is original until the Response's signature is verified, and then the tree of the verified bytes.
	response       *xmldoc.Node
	responseSigned bool
	// received is the assertion before its own signature is verified: a child of original, or decrypted.
	received *xmldoc.Node
	// assertion is the tree of verified bytes; out is read from it alone.
	assertion *xmldoc.Node
	out       Assertion
}

// step is one rule. The order of steps is the order of docs/security/response-pipeline.md.
type step func(*acceptance) *Refusal

var steps = []step{
	(*acceptance).checkPending,
	(*acceptance).checkShape,
	(*acceptance).checkProfile,
	(*acceptance).verifyResponse,
	(*acceptance).checkAssertionCount,
	(*acceptance).decryptAssertion,
	(*acceptance).verifyAssertion,
	(*acceptance).readAssertion,
	(*acceptance).checkSubject,
	(*acceptance).checkConditions,
	(*acceptance).checkAuthnStatement,
	(*acceptance).readAttributes,
}

// Accept decides about one response: samlResponse is the form value, base64; pending is the request that it must answer, nil for
// an unsolicited response. It returns an assertion or a refusal, never both and never neither, and does not panic. Replay, domain
// and policy (rules 10 and 12) are the caller's: remember Assertion.ID until Assertion.ReplayUntil before anything else.
func (c *Connection) Accept(ctx context.Context, samlResponse string, pending *Pending, now time.Time) (assertion *Assertion, refusal *Refusal) {
	a := &acceptance{Connection: c, pending: pending, now: now, phase: phases(ctx)}
	defer func() {
		if p := recover(); p != nil {
			assertion, refusal = nil, c.refuse(ReasonMalformed, CheckPanic, "", "", "The response could not be read.")
		}
		if refusal != nil {
			a.describe(refusal)
		}
	}()
	return a.run(ctx, samlResponse, steps)
}

// run makes the checks in order until one refuses.
func (a *acceptance) run(ctx context.Context, samlResponse string, steps []step) (*Assertion, *Refusal) {
	if r := a.read(samlResponse); r != nil {
		return nil, r
	}
	for _, s := range steps {
		if ctx.Err() != nil {
			return nil, a.refuse(ReasonLimitExceeded, CheckLimits, "", "", "The request was given up before the response was checked.")
		}
		if r := s(a); r != nil {
			return nil, r
		}
	}
	a.out.XML = a.xml
	return &a.out, nil
}

// read decodes and parses within the limits (rule 1).
func (a *acceptance) read(samlResponse string) *Refusal {
	defer a.begin(PhaseParse)()
	xml, r := a.decode(samlResponse)
	if r != nil {
		return r
	}
	a.xml = xml
	a.original, r = a.parseMessage(xml)
	a.response = a.original
	return r
}

// decode reads the base64 of the POST binding (saml-bindings 3.5.4).
func (c *Connection) decode(value string) ([]byte, *Refusal) {
	xml, err := decodeBase64(value, c.limits.MaxMessage)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, c.refuse(ReasonLimitExceeded, CheckLimits, fmt.Sprintf("at most %d bytes", c.limits.MaxMessage), "",
			fmt.Sprintf("The message is larger than %d bytes.", c.limits.MaxMessage))
	case err != nil || len(xml) == 0:
		return nil, c.refuse(ReasonMalformed, CheckEncoding, "base64", "", "The message is not base64.")
	}
	return xml, nil
}

// parseMessage parses an unverified message.
func (c *Connection) parseMessage(xml []byte) (*xmldoc.Node, *Refusal) {
	root, err := c.parse(xml)
	switch {
	case errors.Is(err, xmldoc.ErrLimit):
		return nil, c.refuse(ReasonLimitExceeded, CheckLimits, "", err.Error(), "The message has "+err.Error()+".")
	case err != nil:
		return nil, c.refuse(ReasonMalformed, CheckXML, "", err.Error(), "The message is not the XML that SAML allows: "+err.Error()+".")
	}
	return root, nil
}

// checkPending binds the response to the request that was sent, or refuses unsolicited ones (rules 2 and 11).
func (a *acceptance) checkPending() *Refusal {
	switch {
	case a.conf.Trust == nil:
		return a.refuse(ReasonSignatureInvalid, CheckSignature, "", "", "Trust in this IdP is not established: no certificate of it is known.")
	case !a.conf.Enabled:
		return a.refuse(ReasonIdPDisabled, CheckPolicy, "", "", "")
	case a.pending == nil && !a.conf.Response.AllowUnsolicited:
		return a.refuse(ReasonInResponseToMismatch, CheckPending, "a response to a request of this service provider", "an unsolicited response",
			"This response is unsolicited: the sign-in was started at the IdP, or the request is too old, has been answered already or belongs to another browser.")
	case a.pending != nil && a.pending.Connection != a.conf.Name:
		return a.refuse(ReasonInResponseToMismatch, CheckPending, a.pending.Connection, a.conf.Name,
			fmt.Sprintf("The request was sent to IdP %q, the response came to IdP %q.", a.pending.Connection, a.conf.Name))
	}
	return nil
}

// checkShape looks at the received tree as a whole: what attacks by wrapping need is not there.
func (a *acceptance) checkShape() *Refusal {
	if !a.original.Is(nsProtocol, "Response") {
		return a.refuse(ReasonMalformed, CheckShape, "samlp:Response", clip(a.original.Local), fmt.Sprintf("The message is a %q, not a SAML response.", clip(a.original.Local)))
	}
	if what := oddPlaces(a.original); what != "" {
		return a.refuse(ReasonMalformed, CheckShape, "", what, "The response does not have the structure that SAML requires: "+what+".")
	}
	return nil
}

// oddPlaces names what is where it must not be: an assertion that is not the message's child, a signature that is not a child of the
// message or of its assertion, an ID that is used twice. It reads the whole tree once.
func oddPlaces(root *xmldoc.Node) (what string) {
	ids := map[string]bool{}
	root.Walk(func(n *xmldoc.Node) bool {
		switch {
		case n.Space == nsAssertion && (n.Local == "Assertion" || n.Local == "EncryptedAssertion"):
			if n != root && (n.Parent != root || !root.Is(nsProtocol, "Response")) {
				what = "an assertion is not a direct child of the response"
			}
		case n.Is(xmldsig.Space, "Signature"):
			if n.Parent != root && !(n.Parent != nil && n.Parent.Is(nsAssertion, "Assertion")) {
				what = "a signature is in an unexpected place"
			}
		case n.Is(nsProtocol, "Response") && n != root:
			what = "a response is inside of a response"
		}
		for i := range n.Attrs {
			if at := &n.Attrs[i]; isID(at) {
				if ids[at.Value] {
					what = "two elements have the same ID"
				}
				ids[at.Value] = true
			}
		}
		return what == ""
	})
	return what
}

// isID matches every spelling that some library takes for an ID.
func isID(a *xmldoc.Attr) bool {
	switch a.Local {
	case "ID", "Id", "id":
		return a.Prefix == "" || a.Space == xmldoc.XMLSpace
	}
	return false
}

// verifyResponse verifies the Response's signature, when it has one, and goes on with the verified bytes only (rule 6).
func (a *acceptance) verifyResponse() *Refusal {
	defer a.begin(PhaseVerifyResponse)()
	sig, err := xmldsig.Find(a.original)
	if err == nil && sig == nil {
		if a.conf.Response.RequireResponseSignature {
			return a.refuse(ReasonSignatureInvalid, CheckSignature, "a signed Response", "an unsigned Response",
				"The Response itself is not signed, and this connection requires it.")
		}
		return nil
	}
	verified, r := a.verify(a.original)
	if r != nil {
		return r
	}
	if a.response, r = a.parseMessage(verified); r != nil {
		return r
	}
	a.responseSigned = true
	// Every rule that was applied to the received tree is applied again to what was signed.
	if !a.response.Is(nsProtocol, "Response") {
		return a.refuse(ReasonMalformed, CheckShape, "samlp:Response", clip(a.response.Local), "The signed bytes are not a SAML response.")
	}
	return a.checkProfile()
}

// verify returns the canonical bytes of an element that carries a signature.
func (c *Connection) verify(n *xmldoc.Node) ([]byte, *Refusal) {
	verified, err := xmldsig.Verify(n, c.policy())
	if err != nil {
		return nil, c.signatureRefusal(n.Local, err)
	}
	return verified, nil
}

// checkAssertionCount wants one Assertion or one EncryptedAssertion (rule 4).
func (a *acceptance) checkAssertionCount() *Refusal {
	for _, tree := range []*xmldoc.Node{a.original, a.response} {
		_, plain := tree.Child(nsAssertion, "Assertion")
		_, encrypted := tree.Child(nsAssertion, "EncryptedAssertion")
		if plain+encrypted != 1 {
			return a.refuse(ReasonMalformed, CheckShape, "one assertion", fmt.Sprintf("%d", plain+encrypted),
				fmt.Sprintf("The response has %d assertions; exactly one is accepted.", plain+encrypted))
		}
	}
	return nil
}

// verifyAssertion verifies the assertion's own signature when it has one; it must, unless the Response's signature covers it (rule 6).
func (a *acceptance) verifyAssertion() *Refusal {
	defer a.begin(PhaseVerifyAssertion)()
	sig, err := xmldsig.Find(a.received)
	switch {
	case err == nil && sig == nil && !a.responseSigned:
		return a.refuse(ReasonSignatureInvalid, CheckSignature, "a signature", "none", "Neither the Response nor the Assertion is signed.")
	case err == nil && sig == nil:
		if a.out.Encrypted {
			a.assertion = a.received
			return nil
		}
		a.assertion, _ = a.response.Child(nsAssertion, "Assertion")
		return nil
	}
	verified, r := a.verify(a.received)
	if r != nil {
		return r
	}
	if a.assertion, r = a.parseMessage(verified); r != nil {
		return r
	}
	if !a.assertion.Is(nsAssertion, "Assertion") {
		return a.refuse(ReasonMalformed, CheckShape, "saml:Assertion", clip(a.assertion.Local), "The signed bytes are not an assertion.")
	}
	if covered, _ := a.response.Child(nsAssertion, "Assertion"); a.responseSigned && covered != nil && covered.Value("ID") != a.assertion.Value("ID") {
		return a.refuse(ReasonSignatureInvalid, CheckSignature, covered.Value("ID"), a.assertion.Value("ID"),
			"The Response's signature and the Assertion's signature cover different assertions.")
	}
	return nil
}

func clip(s string) string {
	if len(s) > 300 {
		return s[:300] + "..."
	}
	return s
}
