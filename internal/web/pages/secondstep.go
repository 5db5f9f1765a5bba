package pages

import (
	"encoding/base64"
	"html/template"
	"strings"
	"time"
)

// SecondStep proves a factor (Verify), sets the first one up (Enrol), or manages what there is.
type SecondStep struct {
	Email, Fault, Notice string
	Verify, Enrol        bool
	HasPasskey, HasApp   bool
	Factors              []Factor
	// RecoveryCodes is how many are left.
	RecoveryCodes int
}

// Factor is one that is set up.
type Factor struct {
	ID, Kind, Label   string
	Created, LastUsed Time
}

// NewFactor is a passkey, or else an authenticator app.
func NewFactor(id string, passkey bool, label string, created, lastUsed time.Time) Factor {
	kind := "Authenticator app"
	if passkey {
		kind = "Passkey"
	}
	return Factor{ID: id, Kind: kind, Label: label, Created: On(created), LastUsed: On(lastUsed)}
}

func (s SecondStep) view() (name, title, policy string) {
	switch {
	case s.Verify:
		return "second-verify", "Second factor", policyScript
	case s.Enrol:
		return "second-enrol", "Set up a second factor", policyScript
	}
	return "second-manage", "Your second factors", policyScript
}

// PasskeyScript is where the only script file is.
func (SecondStep) PasskeyScript() string { return passkeyPath }

// App shows a new secret for an authenticator app.
type App struct {
	ID, URL, Secret, Fault string
	QR                     template.URL
}

// NewApp takes the QR code as PNG.
func NewApp(id, address, secret string, qr []byte, fault string) App {
	var grouped strings.Builder
	for i, r := range secret {
		if i > 0 && i%4 == 0 {
			grouped.WriteByte(' ')
		}
		grouped.WriteRune(r)
	}
	// Safe: base64 of bytes that this process has drawn.
	return App{ID: id, URL: address, Secret: grouped.String(), Fault: fault, QR: template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(qr))} // #nosec G203 -- see above
}

func (App) view() (name, title, policy string) { return "second-app", "Set up an app", policyImage }

// RecoveryCodes shows new codes, once.
type RecoveryCodes struct {
	Codes []string
	Next  string
}

func (RecoveryCodes) view() (name, title, policy string) {
	return "second-codes", "Your recovery codes", policyHere
}
