package saml

// Message is a SAML protocol message on its way to the IdP through the browser.
type Message struct {
	// ID is the message's ID attribute: an answer's InResponseTo.
	ID string
	// Binding is snapshot.BindingRedirect or snapshot.BindingPOST.
	Binding string
	// RedirectURL is the complete, signed URL to send the browser to; empty with the POST binding.
	RedirectURL string
	// PostURL is the form's action, Field the name of its first field (SAMLRequest or SAMLResponse), Value that field's value and
	// RelayState the value of the field RelayState (left out when empty); empty with the Redirect binding.
	PostURL, Field, Value, RelayState string
}

// Incoming is a protocol message that came through the browser on the single logout URL.
type Incoming struct {
	// Binding is snapshot.BindingRedirect or snapshot.BindingPOST: how it came.
	Binding string
	// RawQuery is the query exactly as it was received, for Redirect: the signature is over those bytes (saml-bindings 3.4.4.1).
	RawQuery string
	// Value is the form value of SAMLRequest or SAMLResponse and RelayState that of RelayState, for POST.
	Value, RelayState string
}
