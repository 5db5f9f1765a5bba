package saml

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
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
	10: "Replay: the assertion's ID is remembered until it has expired, once for all replicas",
	11: "Unsolicited responses only where they are allowed, and then answering nothing, and as good as what requests ask for",
	12: "Policy: IdP enabled, domain bound, second factor, user not suspended",
}

// TestPipelineDocument keeps docs/security/response-pipeline.md equal to the vectors; -update writes it.
func TestPipelineDocument(t *testing.T) {
	all := vectors()
	var b strings.Builder
	b.WriteString("# The response pipeline\n\n")
	b.WriteString("Generated from the names of the tests in `internal/saml` by `go test ./internal/saml -run TestPipelineDocument -update`; a test fails when it is out of date.\n\n")
	b.WriteString("`Accept` makes the checks in the order of the rules. Each vector below is one message that is accepted but for one edit, so that the named rule alone refuses it.\n")
	b.WriteString("`TestEveryStepIsNeeded` leaves out each step of the pipeline in turn and wants a vector to notice.\n\n## Rules\n\n| rule | what | refused | accepted | also held by |\n|---|---|---|---|---|\n")
	for n := 1; n <= len(rules); n++ {
		refused, accepted := count(all, func(v vector) bool { return v.rule == n })
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", n, rules[n], number(refused), number(accepted), also("", ruleTests[n]))
		if refused+accepted+len(ruleTests[n]) == 0 {
			t.Errorf("rule %d has no vector", n)
		}
	}
	b.WriteString("\n## Vulnerability classes\n\n| class | what | refused | accepted | rules | also held by |\n|---|---|---|---|---|---|\n")
	for n := 1; n < len(classes); n++ {
		refused, accepted := count(all, func(v vector) bool { return v.class == n })
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s |\n", n, classes[n].name, number(refused), number(accepted), rulesOf(all, n), also(classes[n].notes, classes[n].by))
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
	b.WriteString("\n## Hostile messages\n\nWhat `TestCostOfHostileResponses` measures, with the default bound of 256 KiB and with 2 MiB, the largest that `spec.responses.maxBytes` of a ServiceProvider may be.\n" +
		"Elements and attributes may be as many more, and the bound of the cost is as much higher: 800 ms of CPU and 256 MiB, of which the dearest response takes 215 ms and 125 MiB.\n" +
		"So raise it no further than the responses need:\n\n")
	for _, h := range hostiles(1) {
		b.WriteString("- " + h.name + "\n")
	}
	b.WriteString("\n## Real peers\n\n| peer | tests |\n|---|---|\n")
	for _, p := range peers {
		fmt.Fprintf(&b, "| %s | %s |\n", p.peer, also("", p.by))
	}
	b.WriteString("\n## Fuzzed input\n\n`make fuzz` runs each target for ten minutes, and the check of every change runs each for one; the seeds are in the targets and in `testdata/fuzz` beside them.\n\n| input | target |\n|---|---|\n")
	for _, f := range fuzzed {
		fmt.Fprintf(&b, "| %s | %s |\n", f.input, also("", []held{f.by}))
	}
	b.WriteString("\n## Where others differ\n\ncrewjam/saml v0.5.1 refuses these accepted vectors or reads them otherwise:\n\n| vectors that begin with | why |\n|---|---|\n")
	for _, d := range vectorDifferences {
		fmt.Fprintf(&b, "| %s | %s |\n", d.prefix, d.why)
	}
	b.WriteString("\nOf the responses that come with gosaml2 v0.11.0 (`TestGosaml2Corpus`) these get another verdict here:\n\n| response | why |\n|---|---|\n")
	reasons(&b, corpusDifferences)
	b.WriteString("\nOf those that come with crewjam/saml (`TestCrewjamCorpus`) these:\n\n| response | why |\n|---|---|\n")
	reasons(&b, crewjamDifferences)
	golden(t, filepath.Join("..", "..", "docs", "security", "response-pipeline.md"), b.String())
}

func reasons(b *strings.Builder, differences map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(differences)) {
		fmt.Fprintf(b, "| %s | %s |\n", name, differences[name])
	}
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
