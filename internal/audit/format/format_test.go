package format_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/format"
)

var at = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func line(t *testing.T, r audit.Record) []byte {
	t.Helper()
	head := audit.Head{Writer: "pod-1/0"}
	s, err := head.Append(r, at)
	if err != nil {
		t.Fatal(err)
	}
	return s.Line
}

// required are the attributes with the requirement "required" in the published schema 1.3.0, and what at least one of is required, by class.
var (
	requiredOfAll = []string{"activity_id", "category_uid", "class_uid", "metadata", "metadata.product", "metadata.product.vendor_name", "metadata.version", "severity_id", "time", "type_uid"}
	required      = map[float64][]string{3001: {"user"}, 3002: {"user"}, 3004: {"entity"}}
	oneOf         = map[float64][][]string{3001: {{"user.name", "user.uid"}}, 3002: {{"user.name", "user.uid"}, {"service", "dst_endpoint"}}, 3004: {{"entity.name", "entity.uid"}}}
	activities    = map[float64]int{3001: 11, 3002: 5, 3004: 4}
)

func has(event map[string]any, path string) bool {
	var value any = event
	for name := range strings.SplitSeq(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return false
		}
		if value, ok = object[name]; !ok || value == nil || value == "" {
			return false
		}
	}
	return true
}

// TestEveryTypeIsAValidOCSFEvent writes every type of record, with much and with nothing in it.
func TestEveryTypeIsAValidOCSFEvent(t *testing.T) {
	seen := map[float64]int{}
	for _, typ := range audit.AllTypes() {
		for _, r := range []audit.Record{
			{Type: typ},
			{Type: typ, Outcome: audit.OutcomeDenied, Reason: "audience_mismatch", Actor: audit.Actor{Kind: audit.ActorUser, ID: "u1", Email: "alice@acme.example", IP: "192.0.2.7"},
				Target: audit.Target{Kind: "User", UID: "u1", Name: "alice@acme.example"}, Session: "ab", Request: "7K2M-9QXT", Details: audit.SignIn{IdP: "okta"}},
		} {
			text, err := format.Write(format.OCSF, line(t, r))
			if err != nil {
				t.Fatal(err)
			}
			var e map[string]any
			if err := json.Unmarshal(text, &e); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			class, _ := e["class_uid"].(float64)
			seen[class]++
			for _, path := range append(append([]string{}, requiredOfAll...), required[class]...) {
				if !has(e, path) {
					t.Errorf("%s: class %v has no %s: %s", typ, class, path, text)
				}
			}
			for _, group := range oneOf[class] {
				if !has(e, group[0]) && !has(e, group[1]) {
					t.Errorf("%s: class %v has neither %v", typ, class, group)
				}
			}
			activity, _ := e["activity_id"].(float64)
			if activity != 99 && (activity < 1 || int(activity) > activities[class]) {
				t.Errorf("%s: class %v has no activity %v", typ, class, activity)
			}
			if e["type_uid"] != class*100+activity || e["category_uid"] != 3.0 || e["time"] != float64(at.UnixMilli()) || e["activity_name"] == "" {
				t.Errorf("%s: %s", typ, text)
			}
			if want := map[audit.Outcome]float64{"": 1, audit.OutcomeDenied: 2}[r.Outcome]; e["status_id"] != want {
				t.Errorf("%s: status %v, want %v", typ, e["status_id"], want)
			}
		}
	}
	for class := range required {
		if seen[class] == 0 {
			t.Errorf("no record is of class %v", class)
		}
	}
}

func TestOCSFSaysWhoDidWhat(t *testing.T) {
	text, err := format.Write(format.OCSF, line(t, audit.Record{Type: audit.TypeUserSuspended, Actor: audit.Actor{Kind: audit.ActorKubernetes, ID: "root@acme.example", Manager: "kubectl"},
		Target: audit.Target{Kind: audit.KindUser, UID: "u7", Name: "mallory@acme.example"}, Request: "7K2M-9QXT"}))
	if err != nil {
		t.Fatal(err)
	}
	var e struct {
		ClassUID   int `json:"class_uid"`
		ActivityID int `json:"activity_id"`
		User       struct{ Name, UID string }
		Actor      struct {
			User    struct{ Name string }
			AppName string `json:"app_name"`
		}
		Metadata struct {
			CorrelationUID string `json:"correlation_uid"`
			EventCode      string `json:"event_code"`
		}
		Unmapped map[string]any
	}
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	if e.ClassUID != 3001 || e.ActivityID != 5 || e.User.UID != "u7" || e.Actor.User.Name != "root@acme.example" || e.Actor.AppName != "kubectl" || e.Metadata.CorrelationUID != "7K2M-9QXT" ||
		e.Metadata.EventCode != "user_suspended" || e.Unmapped["hash"] == nil {
		t.Errorf("%s", text)
	}
}

// TestCEFEscapes reads the line back as a receiver does.
func TestCEFEscapes(t *testing.T) {
	evil := "a|b\\c=d\ne\r cs1=forged"
	text, err := format.Write(format.CEF, line(t, audit.Record{Type: audit.TypeSAMLAssertionFailed, Outcome: audit.OutcomeDenied, Reason: evil,
		Actor: audit.Actor{Kind: audit.ActorIdP, ID: evil, IP: "192.0.2.7"}, Target: audit.Target{Kind: "IdentityProvider", Namespace: "sso", Name: "okta"}}))
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(string(text), "\r\n") {
		t.Errorf("more than one line: %q", text)
	}
	header := strings.SplitN(string(text), "|", 8)
	if len(header) != 8 || header[0] != "CEF:0" || header[4] != "saml_assertion_failed" || header[6] != "7" {
		t.Fatalf("%q", header)
	}
	for _, want := range []string{"outcome=denied", "src=192.0.2.7", `suser=a|b\\c\=d\ne\r cs1\=forged`, "cs1=IdentityProvider/sso/okta", "cn1=1", fmt.Sprintf("rt=%d ", at.UnixMilli())} {
		if !strings.Contains(header[7], want) {
			t.Errorf("no %s in %s", want, header[7])
		}
	}
}

func TestNativeIsTheLineItself(t *testing.T) {
	l := line(t, audit.Record{Type: audit.TypeUserSignedOut})
	if text, err := format.Write(format.Native, l); err != nil || string(text) != string(l) {
		t.Errorf("%v %s", err, text)
	}
	if _, err := format.Parse("XLSX"); err == nil {
		t.Error("an unknown format was taken")
	}
	for _, f := range []format.Format{format.OCSF, format.CEF} {
		if _, err := format.Write(f, []byte("{")); err == nil {
			t.Errorf("%s: not a record, and no error", f)
		}
	}
}
