package saml

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// held names a test or a fuzz target, and the directory that it is in.
type held struct{ dir, name string }

func here(name string) held           { return held{"internal/saml", name} }
func in(dir string, name string) held { return held{dir, name} }

const (
	web       = "internal/web"
	provision = "internal/identity/provision"
	trust     = "internal/trust"
	interop   = "test/interop"
	replay    = "test/interop/replay"
)

// vulnerability is a row of the table of vulnerability classes.
type vulnerability struct {
	name string
	// notes are about what is elsewhere than in the vectors; by are the tests that hold the class beside the vectors.
	notes string
	by    []held
}

// classes are the vulnerability classes by number, which the vectors name.
var classes = []vulnerability{
	{},
	{name: "XML signature wrapping (XSW1 to XSW8 and relatives)", by: []held{in("internal/saml/xmldsig", "TestWrappingAtTheSignature")}},
	{name: "Parser differentials", notes: "one parser reads one byte string", by: []held{in("internal/saml/xmldoc", "TestParseRefuses"), in("internal/saml/xmldoc", "FuzzParse")}},
	{name: "Names and attributes that do not survive a round trip", by: []held{in("internal/saml/xmldoc", "FuzzParse")}},
	{name: "Faults of the libraries below", notes: "their parsers and verifiers are not in the way of a message", by: []held{
		here("TestLibrariesBelow"), in("internal/saml/xmldsig", "TestGoxmldsigAgrees"), in("internal/saml/xmldsig", "FuzzVerify")}},
	{name: "Comments, processing instructions and CDATA in values"},
	{name: "Signature exclusion"},
	{name: "Comments in DigestValue, several SignedInfos"},
	{name: "Several References, References to something else"},
	{name: "Void canonicalization, attribute and namespace confusion", by: []held{in("internal/saml/xmldoc", "TestCanonical")}},
	{name: "Transforms and canonicalization algorithms"},
	{name: "Certificates that the attacker brings along"},
	{name: "SHA-1, MD5, HMAC and other algorithms", by: []held{in("internal/saml/xmldsig", "TestWeakKeysVerifyNothing"), here("TestSigningPolicy")}},
	{name: "Audience"},
	{name: "Destination"},
	{name: "Recipient and bearer confirmation"},
	{name: "InResponseTo, login CSRF", by: []held{in(web, "TestWhatMustBeRefused"), in("internal/web/signin", "FuzzRelayHandle")}},
	{name: "IdP mix-up", by: []held{in(web, "TestWhatMustBeRefused")}},
	{name: "An IdP asserting addresses of another's domain", by: []held{in(provision, "TestNoOtherIdPSpeaksForADomain"),
		in(provision, "TestUsersOfAnotherIdPAreTakenOverOnlyByARebind"), in("internal/identity", "TestRoutingAndEnforcementAgreeWithTheModel"),
		in(web, "TestWhatMustBeRefused"), in(interop, "TestAnAddressOfAnotherDomainIsRefused")}},
	{name: "Disabled IdPs that still sign people in", by: []held{in(provision, "TestDisabledIdPSignsNobodyIn"), in(provision, "TestEnforceEndsWhatTheSnapshotForbids"),
		in(web, "TestRemovingAnIdPEndsItsSessions")}},
	{name: "Metadata that weakens the policy", notes: "a key without `use` signs and encrypts", by: []held{
		in(trust, "TestEverythingOfAnIdentityProviderIsRead"), in(trust, "TestWeakKeysAreListedAndNotTrusted"), here("TestWeakKeysAreNotTrusted")}},
	{name: "Replay", by: []held{in(replay, "TestTwoReplicasAcceptOnce"), in(replay, "TestRestartRemembers"), in(provision, "TestReplayIsRefusedOnEveryReplica"),
		in(web, "TestReplayOfAnUnsolicitedResponse")}},
	{name: "Open redirect through RelayState", by: []held{here("TestRelayStateIsEncoded"), in("internal/web/signin", "FuzzRelayHandle"),
		in(web, "TestOpenRedirectsAreRefused"), in(web, "TestReplayOfAnUnsolicitedResponse"), in("internal/web/returnurl", "TestRefused"), in("internal/web/returnurl", "FuzzCheck")}},
	{name: "DEFLATE bombs", notes: "every inflating path, with SAMLRequest and SAMLResponse", by: []held{here("TestDeflateBombs"), here("FuzzRedirectQuery")}},
	{name: "DTD and entities"},
	{name: "XML denial of service", notes: "no message costs more than 100 ms of CPU or 32 MiB before it is authenticated; with `spec.responses.maxBytes` at 2 MiB, its most, eight times that", by: []held{
		here("TestCostOfHostileResponses"), here("TestCostOfHostileLogoutMessages"), here("TestFloodDoesNotStarveSignIns"),
		in(web, "TestFloodOfBadResponses"), in(web, "TestBodyLimits"), in(web, "TestARefusedResponseRunsNoRules")}},
	{name: "Namespace prefixes that are reused", by: []held{in("test/interop/pysaml2", "TestResponses")}},
	{name: "Padding oracles", by: []held{here("TestEncryptedKeyIsUniform"), in("internal/saml/xmlenc", "TestEveryFailureIsTheSame"), in(web, "TestErrorPageIsConstant")}},
	{name: "XML encryption: algorithms and panics", by: []held{in("internal/saml/xmlenc", "TestRoundTrip"), in("internal/saml/xmlenc", "TestNeverAlgorithms"),
		in("internal/saml/xmlenc", "FuzzDecrypt"), in("test/interop/pysaml2", "TestResponses")}},
	{name: "Injection of encrypted assertions"},
	{name: "Key rollover, certificates' dates, KeyInfo", by: []held{in(interop, "TestTheIdentityProviderRotatesItsKey")}},
	{name: "Clock skew", by: []held{here("TestClockSkewIsWhatWasAskedFor")}},
	{name: "Lifetime of the request's state", notes: "a row for 15 minutes, and no more than 32,000 of them", by: []held{here("TestAnyReplicaTakesTheAnswerToEachTab"), in("internal/store", "TestContract"),
		in(web, "TestARestartInBetweenLosesNothing"), in(web, "TestSeveralTabsAllSucceed"), in(interop, "TestARestartDuringSignInLosesNothing")}},
	{name: "Session", by: []held{in(provision, "TestSessionEndsNoLaterThanTheIdPs"), in("internal/session", "TestLifetimes"), in("internal/session", "TestRevocationReachesEveryReplica")}},
	{name: "Single logout: forged requests, bindings", notes: "below", by: []held{here("TestLogoutVectors"), here("TestNewLogoutMessages"),
		in(web, "TestLogoutRequestEndsSessionsEverywhere"), in(interop, "TestSingleLogoutWithSimpleSAMLphp"), in(interop, "TestForgedLogoutRequestsEndNothing")}},
	{name: "Artifact binding", notes: "not offered", by: []held{here("TestMetadata"), in(web, "TestBodyLimits")}},
	{name: "Metadata trust", by: []held{in(trust, "TestValidUntilIsHonoured"), in(trust, "TestSignatureWrappingIsRefused"), in(trust, "TestSelectionInAnAggregate"),
		in(trust, "TestEntityIDIsPinned"), in(trust, "TestAggregateMemory"), in(trust, "TestRedirectToLoopbackIsRefused"), in(trust, "FuzzMetadata")}},
	{name: "RequestedAuthnContext", by: []held{here("TestAuthnRequestCarriesThePolicy")}},
	{name: "AuthnRequest without NameIDPolicy", notes: "none is sent unless a format is configured", by: []held{here("TestAuthnRequest"), in("test/interop/pysaml2", "TestAuthnRequests")}},
	{name: "Personal data in logs", by: []held{here("TestRefusalsExplainThemselves"), in(provision, "TestNoPersonalValuesInTheAuditLog"), in(interop, "TestAnAddressOfAnotherDomainIsRefused")}},
	{name: "Header injection to the application", by: []held{in(interop, "TestForgedIdentityHeadersDoNotSurvive"), in(web, "TestForwardingHeadersOfStrangersDoNotCount"),
		in("internal/session", "TestGroupsHeader")}},
}

// ruleTests hold the rules that need a store, beside the vectors.
var ruleTests = map[int][]held{
	2:  {in(web, "TestWhatMustBeRefused"), in(provision, "TestPendingRequestIsConsumedOnce")},
	10: {in(replay, "TestTwoReplicasAcceptOnce"), in(replay, "TestRestartRemembers"), in(web, "TestReplayOfAnUnsolicitedResponse")},
	11: {in(web, "TestReplayOfAnUnsolicitedResponse")},
	12: {in(provision, "TestDisabledIdPSignsNobodyIn"), in(provision, "TestNoOtherIdPSpeaksForADomain"), in(provision, "TestJustInTimeDisabledRefusesTheUnknown"),
		in(provision, "TestSuspensionEndsSessionsAndRefusesSignIn"), in(provision, "TestSecondFactorSessionDoesNotCountYet"), in(web, "TestSecondStep")},
}

// fuzzed is what each parser of foreign input is fuzzed by; peers are the real ones that messages are exchanged with.
var fuzzed = []struct {
	input string
	by    held
}{
	{"response", here("FuzzResponse")}, {"logout request and response, both bindings", here("FuzzLogout")}, {"query of the Redirect binding", here("FuzzRedirectQuery")},
	{"XML", in("internal/saml/xmldoc", "FuzzParse")}, {"signature", in("internal/saml/xmldsig", "FuzzVerify")}, {"ciphertext", in("internal/saml/xmlenc", "FuzzDecrypt")},
	{"metadata", in(trust, "FuzzMetadata")}, {"certificates in PEM", in(trust, "FuzzPEM")}, {"relay state and the browser's cookies", in("internal/web/signin", "FuzzRelayHandle")},
	{"return URL", in("internal/web/returnurl", "FuzzCheck")}, {"AttributeMapping", in("internal/compile", "FuzzAttributeMapping")},
}

var peers = []struct {
	peer string
	by   []held
}{
	{"SimpleSAMLphp, in Chromium", []held{in(interop, "TestSignInLandsOnThePageThatWasAskedFor"), in(interop, "TestEverySortOfResponseIsUnderstood"),
		in(interop, "TestResponsesBelowTheDemandAreRefused"), in(interop, "TestSingleLogoutWithSimpleSAMLphp"), in(interop, "TestForgedLogoutRequestsEndNothing")}},
	{"pysaml2, in Chromium: plain, ENC=1, SIGNR=1, both", []held{in(interop, "TestOtherIdentityProvidersSignPeopleIn"), in(interop, "TestOtherIdentityProvidersBelowTheDemand")}},
	{"pysaml2 and xmlsec1, message by message", []held{in("test/interop/pysaml2", "TestResponses"), in("test/interop/pysaml2", "TestAuthnRequests"),
		in("test/interop/pysaml2", "TestLogoutRequestsFromPysaml2"), in("test/interop/pysaml2", "TestLogoutRequestsToPysaml2")}},
	{"Auth0's samlp, in Chromium", []held{in(interop, "TestOtherIdentityProvidersSignPeopleIn"), in(interop, "TestOtherIdentityProvidersBelowTheDemand")}},
	{"crewjam/saml", []held{here("TestCrewjamAgreesOnAcceptedVectors"), here("TestCrewjamCorpus"), here("TestCrewjamReadsOurRequest")}},
	{"gosaml2 and the products whose responses it recorded", []held{here("TestGosaml2Corpus")}},
}

var testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(\w+ \*testing\.[TF]\)`)

// testsIn are the tests of one directory, relative to the repository's root.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(dir), "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", dir, err)
	}
	found := map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunction.FindAllSubmatch(content, -1) {
			found[string(m[1])] = true
		}
	}
	return found
}

// TestNamedTestsExist: whatever the document names as the proof of a class or a rule is a test, and every class has a proof.
func TestNamedTestsExist(t *testing.T) {
	known := map[string]map[string]bool{}
	check := func(what string, by []held) {
		for _, h := range by {
			if known[h.dir] == nil {
				known[h.dir] = testsIn(t, h.dir)
			}
			if !known[h.dir][h.name] {
				t.Errorf("%s: there is no %s in %s", what, h.name, h.dir)
			}
		}
	}
	all := vectors()
	for n, c := range classes {
		check(c.name, c.by)
		if refused, accepted := count(all, func(v vector) bool { return v.class == n }); n > 0 && refused+accepted+len(c.by) == 0 {
			t.Errorf("class %d has no proof", n)
		}
	}
	for n, by := range ruleTests {
		check(fmt.Sprintf("rule %d", n), by)
	}
	for _, f := range fuzzed {
		check(f.input, []held{f.by})
	}
	for _, p := range peers {
		check(p.peer, p.by)
	}
}

// also is what the document says of tests beside the vectors.
func also(notes string, by []held) string {
	var names []string
	for _, h := range by {
		name := "`" + h.name + "`"
		if h.dir != "internal/saml" {
			name += " (" + h.dir + ")"
		}
		names = append(names, name)
	}
	tests := strings.Join(names, ", ")
	if notes != "" && tests != "" {
		return notes + ": " + tests
	}
	return notes + tests
}

// TestLibrariesBelow: the libraries are those without the known faults, and the way from a message to a decision goes through none of
// their parsers and verifiers: of goxmldsig and etree, only canonicalization and writing are used.
func TestLibrariesBelow(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for module, least := range map[string][2]int{"github.com/russellhaering/goxmldsig": {6, 1}, "github.com/beevik/etree": {8, 1}} {
		m := regexp.MustCompile(regexp.QuoteMeta(module) + ` v1\.(\d+)\.(\d+)`).FindSubmatch(mod)
		var minor, patch int
		if m == nil {
			t.Fatalf("%s is not in go.mod", module)
		}
		if _, err := fmt.Sscan(string(m[1])+" "+string(m[2]), &minor, &patch); err != nil {
			t.Fatal(err)
		}
		if minor < least[0] || minor == least[0] && patch < least[1] {
			t.Errorf("%s v1.%d.%d has known faults; v1.%d.%d is the first without", module, minor, patch, least[0], least[1])
		}
	}
	uses := regexp.MustCompile(`\b(?:dsig|goxmldsig|etree|crewjam)\.(\w*(?:Validat|ReadFrom|ParseXML|ParseResponse|Unmarshal|NewDefaultValidationContext)\w*)|\.(ReadFrom\w*)\(`)
	for _, dir := range []string{".", "xmldoc", "xmldsig", "xmlenc"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if m := uses.Find(content); m != nil {
				t.Errorf("%s uses %s", file, m)
			}
		}
	}
}
