package browser

import (
	"context"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// Evaluate runs an expression in the page, beside its content security policy as the developer tools do, waits for the promise that it may give, and
// returns the string that comes of it.
func (b *Tab) Evaluate(expression string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.fail("evaluating in the page: %v", err)
	}
	return answer
}

// Resize sets the width of the page in CSS pixels.
func (b *Tab) Resize(width int64) {
	b.t.Helper()
	if err := b.run(chromedp.EmulateViewport(width, 800)); err != nil {
		b.t.Fatalf("width %d: %v", width, err)
	}
}

// Dark asks pages for their dark colours, as a setting of the system does, and for no motion, so that nothing is looked at half-way.
func (b *Tab) Dark(on bool) {
	b.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	if err != nil {
		b.t.Fatalf("colour scheme %s: %v", scheme, err)
	}
}

// Authenticator gives the tab a passkey device that answers every question by itself.
func (b *Tab) Authenticator() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		b.t.Fatalf("passkeys: %v", err)
	}
	_, err := chromedp.Call(ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
		IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		b.t.Fatalf("a passkey device: %v", err)
	}
}

// WithoutScripts turns scripts off in the tab, as some people do. What the tests themselves ask of the page still works.
func (b *Tab) WithoutScripts() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.t.Fatalf("turning scripts off: %v", err)
	}
}
