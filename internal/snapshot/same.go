package snapshot

import (
	"bytes"
	"slices"
)

// Comparing connections costs a small part of encoding them. Whoever adds a field adds it here: a test changes every field there is and wants the difference seen.

// SameConnection tells whether two connections are the same, so that their JSON is. A list that is empty is another than one that is missing.
func SameConnection(a, b *Connection) bool {
	return a.Name == b.Name && a.UID == b.UID && a.Generation == b.Generation && a.DisplayName == b.DisplayName && a.Type == b.Type && a.Enabled == b.Enabled &&
		a.CatchAll == b.CatchAll && a.EntityID == b.EntityID && a.ACSURL == b.ACSURL && a.SLOURL == b.SLOURL && a.MetadataURL == b.MetadataURL &&
		a.TrustPageURL == b.TrustPageURL && a.Response == b.Response && a.Logout == b.Logout && a.Provisioning == b.Provisioning &&
		a.VerboseUntil == b.VerboseUntil && a.ScrubOnDelete == b.ScrubOnDelete &&
		sameTrust(a.Trust, b.Trust) && sameFunc(a.Keys, b.Keys, sameKey) && sameRequest(&a.Request, &b.Request) && sameMapping(&a.Mapping, &b.Mapping)
}

// sameTrust compares times as they are written, with their zone.
func sameTrust(a, b *Trust) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	return a.EntityID == b.EntityID && same(a.SSO, b.SSO) && same(a.SLO, b.SLO) && sameFunc(a.SigningCertificates, b.SigningCertificates, sameBytes) &&
		sameFunc(a.EncryptionCertificates, b.EncryptionCertificates, sameBytes) && a.WantAuthnRequestsSigned == b.WantAuthnRequestsSigned &&
		same(a.NameIDFormats, b.NameIDFormats) && same(a.Attributes, b.Attributes) && a.ValidUntil == b.ValidUntil
}

func sameKey(a, b SPKey) bool {
	return a.Phase == b.Phase && sameBytes(a.Certificate, b.Certificate) && sameBytes(a.PrivateKey, b.PrivateKey)
}

func sameRequest(a, b *RequestPolicy) bool {
	return a.Sign == b.Sign && a.Binding == b.Binding && a.NameIDFormat == b.NameIDFormat && a.ForceAuthn == b.ForceAuthn &&
		a.AuthnContextComparison == b.AuthnContextComparison && same(a.AuthnContextClasses, b.AuthnContextClasses)
}

func sameMapping(a, b *Mapping) bool {
	return a.Name == b.Name && a.UID == b.UID && a.Generation == b.Generation && same(a.Email, b.Email) && same(a.FirstName, b.FirstName) && same(a.LastName, b.LastName) &&
		same(a.Groups.From, b.Groups.From) && a.Groups.KeepWhenAbsent == b.Groups.KeepWhenAbsent && a.Groups.Separator == b.Groups.Separator &&
		sameFunc(a.Profile, b.Profile, func(x, y ProfileMapping) bool { return x.Attribute == y.Attribute && same(x.From, y.From) }) &&
		sameFunc(a.Rules, b.Rules, func(x, y Rule) bool { return x.When == y.When && same(x.AddGroups, y.AddGroups) })
}

func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func same[T comparable](a, b []T) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

func sameFunc[T any](a, b []T, equal func(T, T) bool) bool {
	return (a == nil) == (b == nil) && slices.EqualFunc(a, b, equal)
}
