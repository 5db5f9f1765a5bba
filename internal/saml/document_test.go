package saml

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// rules are the rules of the response pipeline, in the words of the document.
var rules = map[int]string{
	1:  "Limits before meaning: bytes, depth, elements, attributes, namespaces, comments; no DOCTYPE, no processing instruction, UTF-8 only; one strict parser for everything",
	2:  "The pending request says which connection and which request; the message never picks the keys",
	3:  "The Response: version, status, Destination, Issuer, InResponseTo, IssueInstant",
	4:  "One Assertion or EncryptedAssertion, a direct child; no assertion, response or signature in any other place; no ID twice",
	5:  "Decryption: AES-GCM, RSA-OAEP, our current and previous key; AES-CBC inside of a signed Response alone; one error for every failure",
	6:  "Signature: of the Response or of the Assertion, every one that is there; one Reference to the element itself; allowed algorithms; every trusted key, KeyInfo ignored; what follows reads the verified bytes",
	7:  "Subject: a bearer confirmation with our Recipient, NotOnOrAfter, InResponseTo and no NotBefore",
	8:  "Conditions: times, every AudienceRestriction names us, no unknown condition",
	9:  "AuthnStatement: SessionNotOnOrAfter, the requested context, ForceAuthn; then the attributes",
	10: "Replay: the assertion's ID is remembered until it has expired (the store does it)",
	11: "Unsolicited responses only where they are allowed, and then answering nothing",
}

// classes are the vulnerability classes that the vectors name. Those that another package holds say which.
var classes = []struct {
	name, elsewhere string
}{
	{"", ""},
	{"XML signature wrapping (XSW1 to XSW8 and relatives)", ""},
	{"Parser differentials", ""},
	{"Names and attributes that do not survive a round trip", ""},
	{"Faults of the libraries below", "`go.mod` pins the repaired versions of goxmldsig and etree; `xmldoc`, `xmldsig` and `xmlenc` are fuzzed against them"},
	{"Comments, processing instructions and CDATA in values", ""},
	{"Signature exclusion", ""},
	{"Comments in DigestValue, several SignedInfos", ""},
	{"Several References, References to something else", ""},
	{"Void canonicalization, attribute and namespace confusion", ""},
	{"Transforms and canonicalization algorithms", ""},
	{"Certificates that the attacker brings along", ""},
	{"SHA-1, MD5, HMAC and other algorithms", ""},
	{"Audience", ""},
	{"Destination", ""},
	{"Recipient and bearer confirmation", ""},
	{"InResponseTo, login CSRF", ""},
	{"IdP mix-up", ""},
	{"An IdP asserting addresses of another's domain", "`internal/identity`: bound domains"},
	{"Disabled IdPs that still sign people in", ""},
	{"Metadata that weakens the policy", "`internal/trust`; keys without `use` sign and encrypt"},
	{"Replay", ""},
	{"Open redirect through RelayState", "`TestRelayStateIsEncoded` here; `internal/web`: relay state is an opaque handle, return URLs are limited to allowed hosts"},
	{"DEFLATE bombs", "`TestDeflateBombs`: every inflating path, with SAMLRequest and SAMLResponse"},
	{"DTD and entities", ""},
	{"XML denial of service", "also `TestCostOfHostileResponses`: no message costs more than 100 ms of CPU or 32 MiB before it is authenticated"},
	{"Namespace prefixes that are reused", ""},
	{"Padding oracles", "also `TestEncryptedKeyIsUniform`"},
	{"XML encryption: algorithms and panics", ""},
	{"Injection of encrypted assertions", ""},
	{"Key rollover, certificates' dates, KeyInfo", ""},
	{"Clock skew", ""},
	{"Lifetime of the request's state", "`internal/web` and `internal/store`: a row for 15 minutes; `TestTabsAndReplicas` here"},
	{"Session", "`internal/session`; the bound that the IdP sets is read here"},
	{"Single logout: forged requests, bindings", "`TestLogoutVectors`, below"},
	{"Artifact binding", "not offered: `TestMetadata`"},
	{"Metadata trust", "`internal/trust`"},
	{"RequestedAuthnContext", ""},
	{"AuthnRequest without NameIDPolicy", "`TestAuthnRequest`: none is sent unless a format is configured"},
	{"Personal data in logs", "`TestRefusalsExplainThemselves`: what is logged has no value of the message"},
	{"Header injection to the application", "`internal/web`"},
}

// TestPipelineDocument keeps docs/security/response-pipeline.md equal to the vectors; -update writes it.
func TestPipelineDocument(t *testing.T) {
	all := vectors()
	var b strings.Builder
	b.WriteString("# The response pipeline\n\n")
	b.WriteString("Generated from the names of the tests in `internal/saml` by `go test ./internal/saml -run TestPipelineDocument -update`; a test fails when it is out of date.\n\n")
	b.WriteString("`Accept` makes the checks in the order of the rules. Each vector below is one message that is accepted but for one edit, so that the named rule alone refuses it.\n")
	b.WriteString("`TestEveryStepIsNeeded` leaves out each step of the pipeline in turn and wants a vector to notice.\n\n## Rules\n\n| rule | what | refused | accepted |\n|---|---|---|---|\n")
	for n := 1; n <= 11; n++ {
		refused, accepted := count(all, func(v vector) bool { return v.rule == n })
		fmt.Fprintf(&b, "| %d | %s | %d | %d |\n", n, rules[n], refused, accepted)
		if refused+accepted == 0 {
			t.Errorf("rule %d has no vector", n)
		}
	}
	b.WriteString("| 12 | Policy: IdP enabled, domain bound, second factor, user not suspended (`internal/identity`, `internal/web`) | | |\n")
	b.WriteString("\n## Vulnerability classes\n\n| class | what | refused | accepted | rules | also |\n|---|---|---|---|---|---|\n")
	for n := 1; n < len(classes); n++ {
		refused, accepted := count(all, func(v vector) bool { return v.class == n })
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s |\n", n, classes[n].name, number(refused), number(accepted), rulesOf(all, n), classes[n].elsewhere)
		if refused+accepted == 0 && classes[n].elsewhere == "" {
			t.Errorf("class %d has no vector and no other place", n)
		}
	}
	b.WriteString("\n## Vectors\n\n| class | rule | vector | verdict |\n|---|---|---|---|\n")
	for _, v := range all {
		verdict := "accepted"
		if v.want != "" {
			verdict = fmt.Sprintf("`%s` (%s)", v.want, v.check)
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", number(v.class), v.rule, v.name, verdict)
	}
	b.WriteString("\n## Single logout\n\nEach with the Redirect and the POST binding, unless it is about one of them. A refused message ends no session.\n\n| message | binding | vector | verdict |\n|---|---|---|---|\n")
	for _, v := range logoutVectors {
		message, binding, verdict := "request", "both", "accepted"
		if v.response {
			message = "response"
		}
		if v.redirect != nil {
			binding = "Redirect"
		} else if v.post != nil {
			binding = "POST"
		}
		if v.want != "" {
			verdict = fmt.Sprintf("`%s` (%s)", v.want, v.check)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", message, binding, v.name, verdict)
	}
	b.WriteString("\n## Hostile messages\n\nWhat `TestCostOfHostileResponses` measures:\n\n")
	for _, h := range hostiles() {
		b.WriteString("- " + h.name + "\n")
	}
	b.WriteString("\n## Where others differ\n\ncrewjam/saml v0.5.1 refuses these accepted vectors or reads them otherwise:\n\n| vectors that begin with | why |\n|---|---|\n")
	for _, d := range vectorDifferences {
		fmt.Fprintf(&b, "| %s | %s |\n", d.prefix, d.why)
	}
	golden(t, filepath.Join("..", "..", "docs", "security", "response-pipeline.md"), b.String())
}

func count(all []vector, match func(vector) bool) (refused, accepted int) {
	for _, v := range all {
		switch {
		case !match(v):
		case v.want == "":
			accepted++
		default:
			refused++
		}
	}
	return refused, accepted
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func rulesOf(all []vector, class int) string {
	var out []string
	seen := map[int]bool{}
	for _, v := range all {
		if v.class == class && !seen[v.rule] {
			seen[v.rule] = true
			out = append(out, fmt.Sprint(v.rule))
		}
	}
	return strings.Join(out, ", ")
}
