// Package crdcases are values of single fields that the API server accepts, or refuses with a sentence.
package crdcases

import (
	"fmt"
	"slices"
	"strings"
)

// Case sets one field of a Base; Message is part of the refusal, empty when the value is accepted.
// More allows other refusals beside it, where one value breaks several rules for different reasons.
type Case struct {
	Kind, Path, Value, Message string
	More                       bool
}

func accept(kind, path string, values ...string) []Case {
	var all []Case
	for _, value := range values {
		all = append(all, Case{Kind: kind, Path: path, Value: value})
	}
	return all
}

func refuse(message, kind, path string, values ...string) []Case {
	var all []Case
	for _, value := range values {
		all = append(all, Case{Kind: kind, Path: path, Value: value, Message: message})
	}
	return all
}

// All are the cases of every kind.
func All() []Case {
	return slices.Concat(names(), serviceProviderCases(), accessCases(), signedHeaderCases(), auditSinkCases(), storeCases(), identityProviderCases(), metadataCases(), httpsURLCases(),
		keyCases(), domainBindingCases(), attributeMappingCases(), bounds())
}

func names() []Case {
	long := strings.Repeat("a", 64)
	return slices.Concat(
		accept("ServiceProvider", "metadata.name", "main", "a", strings.Repeat("a", 40)),
		refuse("metadata.name must be at most 40 characters of a-z, 0-9 and -, starting with a letter: Services and Secrets are named after it",
			"ServiceProvider", "metadata.name", `"1main"`, "main.sso", long),
		accept("IdentityProvider", "metadata.name", "okta", `"1"`, long[:63]),
		refuse("metadata.name must be at most 63 characters of a-z, 0-9 and -: the entity ID and ACS URL contain it",
			"IdentityProvider", "metadata.name", "acme.okta", long),
		accept("DomainBinding", "metadata.name", "acme.com"),
	)
}

func serviceProviderCases() []Case {
	const sp = "ServiceProvider"
	longer := func(field string) string {
		return field + " must be between 1m and 720h: write hours, minutes and seconds, such as 12h or 1h30m"
	}
	return slices.Concat(
		accept(sp, "spec.url", "https://sso.example.com:8443", "https://localhost:8443", "https://10.0.0.1", "https://a-b.example.com"),
		refuse("url must start with https://: session cookies are only ever sent over TLS", sp, "spec.url", "http://sso.example.com"),
		refuse("url must be a lower-case host with an optional port and nothing after it (no user name, path, trailing slash, query or fragment): write https://sso.example.com",
			sp, "spec.url", "https://sso.example.com/", "https://sso.example.com/sso", `"https://sso.example.com?a=b"`, `"https://sso.example.com#a"`,
			"https://alice:secret@sso.example.com", "https://SSO.example.com", "https://sso_example.com", "https://sso.example.com:0", "https://-sso.example.com", `"https://sso.example.com\n"`),
		accept(sp, "spec.session", `{lifetime: 12h, idleTimeout: 12h}`, `{lifetime: 1m, idleTimeout: 60s}`, `{lifetime: 720h}`, `{lifetime: 1h30m0s}`),
		refuse(longer("lifetime"), sp, "spec.session", `{lifetime: 721h}`),
		refuse(longer("idleTimeout"), sp, "spec.session.idleTimeout", "59s"),
		refuse("idleTimeout must not be longer than lifetime", sp, "spec.session", `{lifetime: 1h, idleTimeout: 61m}`),
		refuse(longer("lifetime"), sp, "spec.session.lifetime", `"1.5h"`, "forever", `"-1h"`, `"12"`, "1d"),
		refuse(longer("retention"), sp, "spec.debugLog.retention", "forever"),
		accept(sp, "spec.session.cookie", `{domain: example.com, sameSite: Strict}`, `{domain: sso.example.com}`, `{sameSite: None}`),
		refuse("domain must be a lower-case domain with at least two labels and no leading dot: write example.com", sp, "spec.session.cookie.domain", "com"),
		[]Case{{sp, "spec.session.cookie.domain", ".example.com", "domain must be a lower-case domain with at least two labels and no leading dot: write example.com", true}},
		refuse("session.cookie.domain must be the host of url or a parent domain of it: a browser refuses the cookie otherwise", sp, "spec.session.cookie.domain", "example.org", "ample.com"),
		accept(sp, "spec.tracing", `{endpoint: "http://otel-collector.observability:4318"}`, `{endpoint: "https://otel.example.com/tenant", samplePercent: 1}`),
		refuse("endpoint must be an http or https URL of a lower-case host, without user name, query or fragment: write http://otel-collector.observability:4318",
			sp, "spec.tracing.endpoint", "otel-collector:4318", "grpc://otel-collector:4317", `"http://user:pass@otel.example.com"`, `"http://otel.example.com?token=x"`),
		accept(sp, "spec.redirects.allowedHosts", `["*.example.com", app.example.com, localhost]`, `[]`),
		refuse("must be a lower-case host such as app.example.com, or *.example.com for every host below it: no scheme, port or path", sp, "spec.redirects.allowedHosts",
			`["https://app.example.com"]`, `["app.example.com:8443"]`, `["App.example.com"]`, `["app.*.example.com"]`, `["app.example.com/x"]`),
		refuse("a wildcard must have at least two labels after it: write *.example.com", sp, "spec.redirects.allowedHosts", `["*.com"]`),
		refuse("Duplicate value", sp, "spec.redirects.allowedHosts", `[a.example.com, a.example.com]`),
		accept(sp, "spec.profileAttributes", `[{name: department, mirror: Disabled}, {name: costCenter}]`),
		refuse("Duplicate value", sp, "spec.profileAttributes", `[{name: department}, {name: department}]`),
		refuse("must be a name in camel case, of letters and digits: write jobTitle for job_title", sp, "spec.profileAttributes", `[{name: job_title}]`),
		accept(sp, "spec.audit.retention", "1d", "3650d"),
		refuse("retention must be between 1d and 3650d: write whole days, such as 365d", sp, "spec.audit.retention", "0d", "3651d", "365h", "forever"),
		accept(sp, "spec.responses", `{maxBytes: 262144}`, `{maxBytes: 2097152}`, `{}`),
		refuse("should be greater than or equal to 262144", sp, "spec.responses.maxBytes", "262143", "0"),
		refuse("should be less than or equal to 2097152", sp, "spec.responses.maxBytes", "2097153"),
		accept(sp, "spec.debugLog", `{retention: 1m, maxEntries: 10}`),
		refuse(longer("retention"), sp, "spec.debugLog.retention", "721h", "1s"),
		refuse("should be greater than or equal to 10", sp, "spec.debugLog.maxEntries", "9"),
		accept(sp, "spec.expose", `{ingress: {className: nginx, tlsSecretName: sso-tls, annotations: {a: b}}}`, `{ingress: {}}`, `{httpRoute: {parentRefs: [{name: gateway, namespace: infra, sectionName: https}]}}`),
		refuse("exactly one of ingress, httpRoute: leave expose out for a Service only", sp, "spec.expose", `{}`, `{ingress: {}, httpRoute: {parentRefs: [{name: gateway}]}}`),
		refuse("should have at least 1 items", sp, "spec.expose", `{httpRoute: {parentRefs: []}}`),
		accept(sp, "spec.proxies.trusted", `["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]`),
		refuse("must be an address range in CIDR form: write 10.0.0.0/8, or 192.0.2.7/32 for one address", sp, "spec.proxies.trusted", `["10.0.0.1"]`, `[everything]`),
		accept(sp, "spec.pods", `{resources: {limits: {memory: 256Mi}}, nodeSelector: {a: b}, tolerations: [{operator: Exists}], annotations: {a: b}, priorityClassName: high, imagePullSecrets: [{name: registry}]}`),
		refuse("Duplicate value", sp, "spec.pods.imagePullSecrets", `[{name: a}, {name: a}]`),
	)
}

func storeCases() []Case {
	const sp = "ServiceProvider"
	const one = "replicas > 1 requires store.postgres: SQLite lives on the volume of one pod. Set store.postgres, or replicas: 1"
	return slices.Concat(
		accept(sp, "spec.replicas", "1"),
		refuse(one, sp, "spec.replicas", "2"),
		refuse(one, sp, "spec", `{url: "https://sso.example.com", replicas: 3, store: {sqlite: {}}}`),
		accept(sp, "spec", `{url: "https://sso.example.com", replicas: 3, store: {postgres: {connectionSecretRef: {name: db, key: uri}}}}`),
		refuse("should be greater than or equal to 1", sp, "spec.replicas", "0"),
		accept(sp, "spec.store", `{sqlite: {}}`, `{sqlite: {size: 1Gi, storageClassName: fast, reclaim: Delete}}`, `{postgres: {connectionSecretRef: {name: db}}}`,
			`{postgres: {connectionSecretRef: {name: db}, caBundle: {configMapRef: {name: ca, key: global-bundle.pem}}}}`, `{postgres: {connectionSecretRef: {name: db}, caBundle: {secretRef: {name: db-ca}}}}`),
		refuse("exactly one of configMapRef, secretRef", sp, "spec.store", `{postgres: {connectionSecretRef: {name: db}, caBundle: {}}}`,
			`{postgres: {connectionSecretRef: {name: db}, caBundle: {configMapRef: {name: ca}, secretRef: {name: ca}}}}`),
		refuse("exactly one of sqlite, postgres: leave store out for SQLite with its defaults", sp, "spec.store", `{}`, `{sqlite: {}, postgres: {connectionSecretRef: {name: db}}}`),
	)
}

func identityProviderCases() []Case {
	const idp = "IdentityProvider"
	var all []Case
	for _, value := range []string{"Okta", "EntraID", "GoogleWorkspace", "ADFS", "Keycloak", "Generic"} {
		all = append(all, accept(idp, "spec.type", value)...)
	}
	return slices.Concat(all,
		refuse("Unsupported value", idp, "spec.type", "Azure"),
		refuse("Required value", idp, "spec.serviceProviderRef", ""),
		accept(idp, "spec.displayName", "Bücher & Söhne"),
		refuse("displayName must be one line without control characters", idp, "spec.displayName", `"a\nb"`),
		accept(idp, "spec.state", "Disabled"), accept(idp, "spec.catchAll", "Enabled"),
		accept(idp, "spec.saml.request", `{signing: Disabled, binding: POST, nameIDFormat: Persistent, forceAuthn: Enabled, authnContext: {comparison: Minimum, classes: ["urn:oasis:names:tc:SAML:2.0:ac:classes:X509"]}}`),
		refuse("Required value", idp, "spec.saml.request.authnContext", `{comparison: Exact}`),
		accept(idp, "spec.saml.response", `{encryption: Required, responseSignature: Required, unsolicited: Allowed, clockSkew: 0s, sha1: Allowed}`, `{clockSkew: 10m}`),
		refuse("clockSkew must be between 0s and 10m: write it as 60s or 1m30s", idp, "spec.saml.response.clockSkew", "11m", "some"),
		accept(idp, "spec.provisioning", `{jit: Disabled, secondFactor: Required}`),
		accept(idp, "spec.debug.verboseUntil", `"2026-12-01T00:00:00Z"`),
		refuse("must be of type", idp, "spec.debug.verboseUntil", "tomorrow"),
		accept(idp, "spec.deletion.mirroredAttributes", "Scrub"),
		accept(idp, "spec.saml.logout", `{state: Disabled}`),
	)
}

func metadataCases() []Case {
	const idp, path = "IdentityProvider", "spec.saml.metadata"
	manual := func(more string) string {
		return fmt.Sprintf(`{manual: {entityID: "urn:idp", ssoURL: "https://idp.example.com/sso", %s}}`, more)
	}
	return slices.Concat(
		accept(idp, path, `{inline: "<EntityDescriptor/>"}`, `{fromConfigMap: {name: idp}}`, `{fromSecret: {name: idp, key: idp.xml}, entityID: "urn:idp"}`,
			`{url: "https://idp.example.com/m", refreshInterval: 30m, caBundle: {configMapRef: {name: ca}}, signatureCertificate: {secretRef: {name: federation}}, entityID: "urn:idp"}`,
			`{url: "https://idp.example.com/m", caBundle: {secretRef: {name: ca, key: root.pem}}}`,
			manual(`certificates: ["PEM"]`), manual(`ssoBinding: POST, sloURL: "https://idp.example.com/slo", certificatesFrom: {secretRef: {name: idp}}`)),
		refuse("exactly one of url, inline, fromConfigMap, fromSecret, manual", idp, path, `{}`, `{url: "https://idp.example.com/m", inline: "<x/>"}`,
			`{fromConfigMap: {name: a}, fromSecret: {name: a}}`, `{entityID: "urn:idp"}`),
		refuse("refreshInterval and caBundle belong to url: set url, or remove them", idp, path, `{inline: "<x/>", refreshInterval: 1h}`, `{inline: "<x/>", caBundle: {secretRef: {name: ca}}}`),
		refuse("signatureCertificate and entityID do not go with manual: remove them, and write the entity ID into manual.entityID", idp, path,
			`{entityID: "urn:idp", manual: {entityID: "urn:idp", ssoURL: "https://idp.example.com/sso", certificates: [PEM]}}`),
		refuse("refreshInterval must be between 1m and 168h: write hours, minutes and seconds, such as 12h or 1h30m", idp, path, `{url: "https://idp.example.com/m", refreshInterval: 30s}`, `{url: "https://idp.example.com/m", refreshInterval: "5"}`, `{url: "https://idp.example.com/m", refreshInterval: 169h}`, `{url: "https://idp.example.com/m", refreshInterval: daily}`),
		refuse("exactly one of configMapRef, secretRef", idp, path, `{url: "https://idp.example.com/m", caBundle: {}}`,
			`{url: "https://idp.example.com/m", caBundle: {configMapRef: {name: a}, secretRef: {name: a}}}`),
		refuse("exactly one of certificates, certificatesFrom: write the IdP's signing certificates as PEM, or name the Secret that holds them", idp, path,
			manual(`ssoBinding: POST`), manual(`certificates: [PEM], certificatesFrom: {secretRef: {name: a}}`)),
		refuse("should have at least 1 items", idp, path, manual(`certificates: []`)),
		refuse("Unsupported value", idp, path, manual(`ssoBinding: Artifact, certificates: [PEM]`)),
		refuse("must be the entity ID alone, without spaces or line breaks", idp, path, `{inline: "<x/>", entityID: "urn: idp"}`,
			`{manual: {entityID: "urn:idp\n", ssoURL: "https://idp.example.com/sso", certificates: [PEM]}}`),
	)
}

func httpsURLCases() []Case {
	const scheme = "must be an absolute https:// URL: what comes over http could be replaced on the way"
	const user = "must not contain a user name or password: anybody who may read the object would see them"
	var all []Case
	for path, format := range map[string]string{
		"spec.saml.metadata":   `{url: "%s"}`,
		"spec.saml.logout":     `{url: "%s"}`,
		"spec.saml.metadata ":  `{manual: {entityID: "urn:idp", certificates: [PEM], ssoURL: "%s"}}`,
		"spec.saml.metadata  ": `{manual: {entityID: "urn:idp", certificates: [PEM], ssoURL: "https://idp.example.com", sloURL: "%s"}}`,
	} {
		path = strings.TrimSpace(path)
		write := func(url string) string { return fmt.Sprintf(format, url) }
		all = append(all, accept("IdentityProvider", path, write("https://idp.example.com/a?b=c"), write("https://idp.example.com:8443"))...)
		all = append(all, refuse(scheme, "IdentityProvider", path, write("http://idp.example.com/m"), write("/metadata/of/the/idp"), write("https:///metadata"), write("ftp://idp.example.com"))...)
		all = append(all, refuse(user, "IdentityProvider", path, write("https://alice:secret@idp.example.com/"))...)
	}
	return all
}

func keyCases() []Case {
	const idp, path = "IdentityProvider", "spec.saml.keys"
	return slices.Concat(
		accept(idp, path, `{certificateLifetime: 26280h, rotationWindow: 2160h, overlap: 720h}`, `{certificateLifetime: 24h, rotationWindow: 2h, overlap: 1h}`),
		refuse("rotationWindow must be shorter than certificateLifetime", idp, path, `{certificateLifetime: 48h, rotationWindow: 48h, overlap: 1h}`, `{certificateLifetime: 48h}`),
		refuse("overlap must not be longer than rotationWindow: the next certificate must sign before the current one expires", idp, path, `{rotationWindow: 24h, overlap: 25h}`),
		refuse("certificateLifetime must be between 24h and 87600h (10 years), in hours", idp, path, `{certificateLifetime: 87601h}`),
		[]Case{{idp, path, `{certificateLifetime: 23h}`, "certificateLifetime must be between 24h and 87600h (10 years), in hours", true}},
		refuse("rotationWindow must be between 1h and 26280h: write hours, minutes and seconds, such as 12h or 1h30m", idp, path, `{certificateLifetime: 87600h, rotationWindow: 26281h}`),
		refuse("overlap must be between 1h and 8760h: write hours, minutes and seconds, such as 12h or 1h30m", idp, path, `{overlap: 59m}`, `{overlap: "30 days"}`),
	)
}

func domainBindingCases() []Case {
	const kind, path = "DomainBinding", "spec.domain"
	long := strings.Repeat("a", 63)
	return slices.Concat(
		accept(kind, path, "example.org", "a.b.c.example", "xn--bcher-kva.example", long+".example", "3com.example"),
		refuse("domain must be lower-case: write example.com", kind, path, "Example.COM"),
		refuse("domain must be in its ASCII form (A-label), such as xn--bcher-kva.example for bücher.example: kubectl sso lint prints the form to write", kind, path, "bücher.example", "еxample.com"),
		refuse("domain must be the domain alone: write example.com, not alice@example.com", kind, path, `"alice@example.com"`, `"@example.com"`),
		refuse("domain must not be a wildcard: write example.com and set subdomains: Included", kind, path, `"*.example.com"`),
		refuse("domain must not end with a dot: remove it", kind, path, "example.com."),
		refuse("domain must have at least two labels of letters, digits and hyphens: write example.com, without a scheme, port or path", kind, path,
			"example", "https://example.com", "example..com", "-a.example", "a_b.example", `"exa mple.com"`, long+"a.example", "example.com:443", `"example.com\n"`),
		accept(kind, "spec.subdomains", "Included", "Excluded"),
		refuse("Unsupported value", kind, "spec.subdomains", "All"),
		accept(kind, "spec.verification", `{method: DNS}`, `{}`),
		refuse("Required value", kind, "spec.identityProviderRef", ""),
	)
}

const oneGroup = "must be one group without commas or control characters: Remote-Groups lists groups with commas between them"

func attributeMappingCases() []Case {
	const kind = "AttributeMapping"
	return slices.Concat(
		accept(kind, "spec.email", `{from: [{name: email}, {name: "urn:oid:0.9.2342.19200300.100.1.3"}, {nameID: EmailAddress}]}`, `{from: []}`),
		refuse("Unsupported value", kind, "spec.email", `{from: [{nameID: Kerberos}]}`),
		accept(kind, "spec.groups", `{from: [{name: groups}], whenAbsent: Keep, separator: ";"}`, `{from: []}`),
		accept(kind, "spec.profile", `[{attribute: department, from: [{name: department}]}]`),
		refuse("Duplicate value", kind, "spec.profile", `[{attribute: a, from: [{name: a}]}, {attribute: a, from: [{name: b}]}]`),
		accept(kind, "spec.rules", `[{when: "'ML' in attributes.department", addGroups: [ml-team]}]`),
		refuse("should have at least 1 items", kind, "spec.rules", `[{when: "true", addGroups: []}]`),
		refuse(oneGroup, kind, "spec.rules", `[{when: "true", addGroups: ["a,b"]}]`, `[{when: "true", addGroups: ["a\tb"]}]`),
		accept(kind, "spec.examples", `[{attributes: {email: [a@example.com], department: [ML]}, nameID: {value: x}, expect: {email: a@example.com, groups: [ml-team]}}]`,
			`[{attributes: {email: [a@example.com]}, expect: {groups: []}}]`),
		refuse(oneGroup, kind, "spec.examples", `[{attributes: {email: [a@example.com]}, expect: {groups: ["dev,ops"]}}]`),
		refuse("must be a name in camel case, of letters and digits: write jobTitle for job_title", kind, "spec.profile", `[{attribute: job_title, from: [{name: a}]}]`, `[{attribute: JobTitle, from: [{name: a}]}]`),
		refuse("should have at least 1 properties", kind, "spec.examples", `[{attributes: {}, expect: {}}]`),
		exactlyOneSource(),
	)
}

func exactlyOneSource() []Case {
	var all []Case
	for path, format := range map[string]string{
		"spec.email": `{from: [%s]}`, "spec.firstName": `{from: [%s]}`, "spec.lastName": `{from: [%s]}`, "spec.groups": `{from: [%s]}`,
		"spec.profile": `[{attribute: department, from: [%s]}]`,
	} {
		all = append(all, accept("AttributeMapping", path, fmt.Sprintf(format, "{name: a}"), fmt.Sprintf(format, "{nameID: Any}"))...)
		all = append(all, refuse("exactly one of name, nameID", "AttributeMapping", path, fmt.Sprintf(format, "{}"), fmt.Sprintf(format, "{name: a, nameID: Any}"))...)
	}
	return all
}

// bounds: nothing of a user's is unbounded.
func bounds() []Case {
	many := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	return slices.Concat(
		refuse("Too long", "IdentityProvider", "spec.saml.metadata", `{inline: "`+strings.Repeat("x", 524289)+`"}`),
		refuse("Too long", "IdentityProvider", "spec.displayName", strings.Repeat("x", 101)),
		refuse("Too many", "AttributeMapping", "spec.rules", many(65, `{when: "true", addGroups: [a]}`)),
		refuse("Too many", "AttributeMapping", "spec.email", `{from: `+many(17, `{name: a}`)+`}`),
		refuse("Too long", "DomainBinding", "spec.domain", strings.Repeat("a.", 127)+"aa"),
	)
}

func auditSinkCases() []Case {
	const sp, sinks = "ServiceProvider", "spec.audit.sinks"
	webhook := func(url string) string {
		return `[{name: siem, webhook: {url: "` + url + `", keySecretRef: {name: siem}}}]`
	}
	syslog := func(address string) string { return `[{name: siem, syslog: {address: "` + address + `"}}]` }
	otlp := func(url string) string { return `[{name: siem, otlp: {url: "` + url + `"}}]` }
	one := "exactly one of webhook, syslog, otlp"
	https := "must be an absolute https:// URL: what comes over http could be replaced on the way"
	password := "must not contain a user name or password: anybody who may read the object would see them"
	bundle := "exactly one of configMapRef, secretRef"
	return slices.Concat(
		accept(sp, sinks, webhook("https://siem.example.com/in?tenant=1"), syslog("syslog.example.com:6514"), syslog("[::1]:6514"), syslog("10.0.0.1:1"),
			`[{name: otel, format: OCSF, otlp: {url: "https://otel.example.com:4318/v1/logs", tokenSecretRef: {name: otel, key: bearer}, caBundle: {configMapRef: {name: ca}}}}, {name: b, format: CEF, syslog: {address: "b:1"}}]`),
		refuse(one, sp, sinks, `[{name: siem}]`, `[{name: siem, syslog: {address: "a:1"}, otlp: {url: "https://otel.example.com"}}]`),
		refuse(https, sp, sinks, webhook("http://siem.example.com"), otlp("http://otel.example.com")),
		refuse(password, sp, sinks, webhook("https://alice:secret@siem.example.com"), otlp("https://alice@otel.example.com")),
		refuse("must be a host and a port: write syslog.example.com:6514", sp, sinks, syslog("syslog.example.com"), syslog("tcp://syslog.example.com:6514"), syslog("a:0")),
		refuse(bundle, sp, sinks, `[{name: siem, syslog: {address: "a:1", caBundle: {}}}]`, `[{name: siem, otlp: {url: "https://otel.example.com", caBundle: {}}}]`,
			`[{name: siem, webhook: {url: "https://siem.example.com", keySecretRef: {name: k}, caBundle: {}}}]`),
		[]Case{
			{sp, sinks, `[{name: siem, webhook: {url: "https://siem.example.com"}}]`, "Required value", true},
			{sp, sinks, `[{name: siem, format: XLSX, syslog: {address: "a:1"}}]`, "Unsupported value", true},
		},
		refuse("Duplicate value", sp, sinks, `[{name: siem, syslog: {address: "a:1"}}, {name: siem, syslog: {address: "b:1"}}]`),
	)
}
