package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// silentDNS is one that knows no name.
func silentDNS(context.Context, string) (records []string, found bool, err error) {
	return nil, false, nil
}

func serviceProviderWalks() []walked {
	const sp = "ServiceProvider"
	sinks := func(ca string) string {
		return strings.ReplaceAll(`[{name: a, format: OCSF, webhook: {url: "https://siem.example.com/in", keySecretRef: {name: things, key: key}, caBundle: CA}},
			{name: b, format: CEF, syslog: {address: "syslog.example.com:6514", caBundle: CA}},
			{name: c, otlp: {url: "https://otel.example.com/v1/logs", tokenSecretRef: {name: things, key: key}, caBundle: CA}}]`, "CA", ca)
	}
	pods := func(value string) string {
		return strings.ReplaceAll(`{annotations: {a: V}, nodeSelector: {a: V}, priorityClassName: V, imagePullSecrets: [{name: V}], resources: {requests: {memory: 128Mi}, limits: {memory: 256Mi}},
			tolerations: [{key: V, operator: Exists}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: V, operator: Exists}]}]}}},
			topologySpreadConstraints: [{topologyKey: V, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]}`, "V", value)
	}
	return []walked{
		{kind: sp, path: "url", first: `"https://login.example.com"`, second: `"https://sso.example.com:8443"`},
		{kind: sp, path: "access", first: `{rules: [{hosts: [app.example.com], allow: SignedIn}]}`,
			second: `{rules: [{hosts: [app.example.com], pathPrefixes: [/admin], methods: [GET], groups: [dev], users: [alice@acme.example], identityProviders: [okta]}]}`},
		{kind: sp, path: "admins", first: `{groups: [admins], identityProviders: [okta]}`, second: `{groups: [ops], identityProviders: [okta]}`},
		{kind: sp, path: "audit.retention", first: "30d", second: "60d"},
		{kind: sp, path: "audit.sinks", first: sinks(`{configMapRef: {name: things, key: ca.crt}}`), second: sinks(`{secretRef: {name: things, key: tls.crt}}`)},
		{kind: sp, path: "audit.sinks", first: `[{name: a, webhook: {url: "https://siem.example.com/in", keySecretRef: {name: missing, key: key}}}]`, ready: [2]string{mistake}},
		{kind: sp, path: "debugLog", first: `{retention: 1h, maxEntries: 10}`, second: `{retention: 2h, maxEntries: 20}`},
		{kind: sp, path: "responses", first: `{maxBytes: 524288}`, second: `{maxBytes: 2097152}`},
		{kind: sp, path: "expose", first: `{ingress: {className: nginx, tlsSecretName: sso-tls, annotations: {a: b}}}`, second: `{ingress: {className: haproxy, annotations: {c: d}}}`},
		{kind: sp, path: "expose", first: `{httpRoute: {parentRefs: [{name: gateway, namespace: infra, sectionName: https}]}}`, ready: [2]string{mistake}},
		{kind: sp, path: "pods", first: pods("one"), second: pods("two")},
		{kind: sp, path: "profileAttributes", first: `[{name: department, mirror: Disabled}]`, second: `[{name: department, mirror: Enabled}, {name: costCenter}]`},
		{kind: sp, path: "proxies", first: `{trusted: ["10.0.0.0/8"]}`, second: `{trusted: ["192.0.2.7/32"]}`},
		{kind: sp, path: "redirects", first: `{allowedHosts: ["*.example.com"]}`, second: `{allowedHosts: [app.example.com]}`},
		{kind: sp, path: "session", first: `{lifetime: 2h, idleTimeout: 30m, cookie: {domain: example.com, sameSite: Strict}}`, second: `{lifetime: 3h, idleTimeout: 1h, cookie: {sameSite: None}}`},
		{kind: sp, path: "signedHeader", first: `{state: Enabled, keyLifetime: 720h}`, second: `{state: Disabled}`},
		{kind: sp, path: "tracing", first: `{endpoint: "https://otel.example.com:4318", samplePercent: 10}`, second: `{endpoint: "https://otel.example.com:4318", samplePercent: 20}`},
		{kind: sp, path: "store", first: `{sqlite: {reclaim: Delete}}`, second: `{sqlite: {reclaim: Retain, size: 2Gi, storageClassName: fast}}`, ready: [2]string{"", mistake}},
		{kind: sp, path: "store", first: `{postgres: {connectionSecretRef: {name: things, key: uri}, caBundle: {secretRef: {name: missing}}}}`,
			second: `{postgres: {connectionSecretRef: {name: things, key: uri}, caBundle: {configMapRef: {name: things, key: key}}}}`, ready: [2]string{mistake, mistake}},
		{kind: sp, path: "", first: `{url: "https://sso.example.com", replicas: 2, store: {postgres: {connectionSecretRef: {name: things, key: uri}, caBundle: {configMapRef: {name: things, key: ca.crt}}}}}`,
			second: `{url: "https://sso.example.com", replicas: 3, store: {postgres: {connectionSecretRef: {name: things, key: key}, caBundle: {secretRef: {name: things, key: tls.crt}}}}}`},
	}
}

func identityProviderWalks(t *testing.T) []walked {
	const idp = "IdentityProvider"
	in := func(d time.Duration) string { return fmt.Sprintf("%q", time.Now().Add(d).UTC().Format(time.RFC3339)) }
	const metadata = "saml.metadata"
	manual := func(more string) string {
		return fmt.Sprintf(`{manual: {entityID: "https://idp.example.com/", ssoURL: "https://idp.example.com/sso", %s}}`, more)
	}
	all := []walked{
		{kind: idp, path: "catchAll", first: "Enabled"},
		{kind: idp, path: "displayName", first: "One", second: "Two"},
		{kind: idp, path: "state", first: "Disabled", ready: [2]string{"Disabled"}},
		{kind: idp, path: "debug", first: `{verboseUntil: ` + in(time.Hour) + `}`, second: `{verboseUntil: ` + in(2*time.Hour) + `}`},
		{kind: idp, path: "deletion", first: `{mirroredAttributes: Scrub}`, second: `{mirroredAttributes: Keep}`},
		{kind: idp, path: "provisioning", first: `{jit: Disabled, secondFactor: Required}`, second: `{jit: Enabled, secondFactor: Required}`},
		{kind: idp, path: "saml.keys", first: `{certificateLifetime: 8760h, rotationWindow: 480h, overlap: 240h}`, second: `{certificateLifetime: 4380h, rotationWindow: 240h, overlap: 24h}`, silent: true},
		{kind: idp, path: "saml.keys", first: `{secretRef: {name: missing}}`, ready: [2]string{mistake}},
		{kind: idp, path: "saml.logout", first: `{state: Disabled}`, second: `{url: "https://idp.example.com/slo"}`},
		{kind: idp, path: "saml.request", first: `{signing: Disabled, binding: POST, nameIDFormat: Persistent, forceAuthn: Enabled, authnContext: {comparison: Minimum, classes: ["urn:oasis:names:tc:SAML:2.0:ac:classes:X509"]}}`,
			second: `{signing: Enabled, binding: Redirect, nameIDFormat: EmailAddress, authnContext: {classes: ["urn:oasis:names:tc:SAML:2.0:ac:classes:Password"]}}`},
		{kind: idp, path: "saml.response", first: `{encryption: Required, responseSignature: Required, unsolicited: Allowed, clockSkew: 0s, sha1: Allowed}`, second: `{clockSkew: 10m}`},
		{kind: idp, path: metadata, first: `{fromConfigMap: {name: things, key: metadata.xml}, entityID: "https://idp.example.com/"}`, second: `{fromSecret: {name: things, key: metadata.xml}}`, silent: true},
		{kind: idp, path: metadata, first: manual(`ssoBinding: POST, sloURL: "https://idp.example.com/slo", certificatesFrom: {secretRef: {name: things, key: tls.crt}}`),
			second: manual(fmt.Sprintf(`ssoBinding: Redirect, certificates: [%q]`, certificatePEM(t)))},
		{kind: idp, path: metadata, first: `{inline: "<not-metadata/>"}`, second: `{fromConfigMap: {name: missing}}`, ready: [2]string{mistake, mistake}},
		{kind: idp, path: metadata, first: `{fromConfigMap: {name: things, key: metadata.xml}, signatureCertificate: {secretRef: {name: things, key: tls.crt}}}`, ready: [2]string{mistake}},
		{kind: idp, path: metadata, first: `{url: "https://idp.example.com/m", refreshInterval: 30m, caBundle: {configMapRef: {name: things, key: missing.crt}}}`,
			second: `{url: "https://idp.example.com/m", caBundle: {secretRef: {name: missing, key: ca.crt}}}`, silent: true},
	}
	for _, kind := range []string{"Okta", "EntraID", "GoogleWorkspace", "ADFS", "Keycloak"} {
		all = append(all, walked{kind: idp, path: "type", first: kind})
	}
	return all
}

func otherWalks() []walked {
	const binding, mapping = "DomainBinding", "AttributeMapping"
	all := []walked{
		{kind: binding, path: "subdomains", first: "Included"},
		{kind: binding, path: "verification", first: `{method: DNS}`, second: `{method: None}`, ready: [2]string{mistake}},
		{kind: mapping, path: "groups", first: `{from: [{name: roles}], separator: ";", whenAbsent: Keep}`, second: `{from: [{nameID: Any}], whenAbsent: Revoke}`},
		{kind: mapping, path: "profile", first: `[{attribute: department, from: [{name: dept}]}]`, second: `[{attribute: department, from: [{nameID: Any}]}]`},
		{kind: mapping, path: "rules", first: `[{when: "'ML' in attributes.department", addGroups: [ml]}]`, second: `[{when: "'HR' in attributes.department", addGroups: [hr]}]`},
		{kind: mapping, path: "rules", first: `[{when: "this is not CEL", addGroups: [ml]}]`, ready: [2]string{mistake}},
		{kind: mapping, path: "examples", first: `[{attributes: {email: [alice@acme.example], firstName: [Alice], lastName: [Adams], groups: [dev]}, nameID: {value: alice, format: Persistent},
			expect: {email: alice@acme.example}}]`, silent: true},
		{kind: mapping, path: "examples", first: `[{attributes: {email: [alice@acme.example]}, expect: {email: bob@acme.example, firstName: Bob, lastName: Brown, groups: [ops], profile: {department: HR}}}]`,
			ready: [2]string{mistake}},
	}
	for _, name := range []string{"email", "firstName", "lastName"} {
		all = append(all, walked{kind: mapping, path: name, first: `{from: [{name: one}]}`, second: `{from: [{nameID: Any}]}`})
	}
	return all
}
