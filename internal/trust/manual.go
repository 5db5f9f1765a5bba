package trust

import (
	"fmt"
	"strings"

	"sallyport.dev/sallyport/internal/snapshot"
)

// ManualTrust makes of typed-in values what metadata would have said. ssoBinding is Redirect, POST or one of their URNs, empty takes
// Redirect; sloURL may be empty; pems are PEM texts with one or more signing certificates each, every one of which is trusted.
// Errors are *Error and start with the name of the field, such as "certificates[1]".
func ManualTrust(entityID, ssoURL, ssoBinding, sloURL string, pems []string) (*Metadata, error) {
	if entityID == "" || len(entityID) > maxEntityID || strings.ContainsAny(entityID, " \t\r\n") {
		return nil, fail(KindWrongRoot, "entityID must be the identity provider's entity ID: 1 to %d characters without white space.", maxEntityID)
	}
	binding, err := bindingURN(ssoBinding)
	if err != nil {
		return nil, err
	}
	if err := checkEndpoint(ssoURL, false); err != nil {
		return nil, fail(KindBadEndpoint, "ssoURL %s.", err)
	}
	m := &Metadata{Trust: snapshot.Trust{EntityID: entityID, SSO: []snapshot.Endpoint{{Binding: binding, URL: ssoURL}}}}
	if sloURL != "" {
		if err := checkEndpoint(sloURL, false); err != nil {
			return nil, fail(KindBadEndpoint, "sloURL %s.", err)
		}
		m.Trust.SLO = []snapshot.Endpoint{{Binding: binding, URL: sloURL}}
	}
	if len(pems) == 0 {
		return nil, fail(KindNoSigningKey, "certificates: write at least one signing certificate of the identity provider as PEM.")
	}
	for i, text := range pems {
		certificates, err := ParsePEM(text)
		if err != nil {
			return nil, fail(KindBadCertificate, "certificates[%d] %s.", i, err)
		}
		for _, certificate := range certificates {
			if problem := m.add(certificate, UseSigning); problem != "" {
				return nil, fail(KindNoSigningKey, "certificates[%d]: %s", i, problem)
			}
		}
	}
	m.Digest = digest(m.Trust)
	return m, nil
}

func bindingURN(binding string) (string, error) {
	switch binding {
	case "", "Redirect", snapshot.BindingRedirect:
		return snapshot.BindingRedirect, nil
	case "POST", snapshot.BindingPOST:
		return snapshot.BindingPOST, nil
	}
	return "", fail(KindBadEndpoint, "ssoBinding must be Redirect or POST, not %s.", fmt.Sprintf("%q", clip(binding)))
}
