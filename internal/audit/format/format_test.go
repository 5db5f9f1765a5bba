package format_test

import (
	"encoding/json"
	"fmt"
	"slices"
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

// object is a class or an object of the schema: what it must have, what it must have one of, and what else of it is written here.
type object struct{ required, oneOf, more []string }

// schema is taken from the published schema 1.3.0 (github.com/ocsf/ocsf-schema, tag 1.3.0: events/base_event.json, events/iam, includes and objects, with what they
// extend). Attributes of the profile host count, as it is named where they are used; those of the profiles cloud, datetime and osint do not.
var schema = map[string]object{
	"3001": {required: append([]string{"user"}, ofEvery...), more: append([]string{"actor"}, ofSome...)},
	"3002": {required: append([]string{"user"}, ofEvery...), oneOf: []string{"service", "dst_endpoint"}, more: append([]string{"actor", "auth_protocol_id", "is_remote", "session"}, ofSome...)},
	"3004": {required: append([]string{"entity"}, ofEvery...), more: append([]string{"actor"}, ofSome...)},

	"metadata":     {required: []string{"product", "version"}, more: []string{"uid", "correlation_uid", "event_code", "sequence", "log_name", "profiles"}},
	"product":      {required: []string{"vendor_name"}, oneOf: []string{"name", "uid"}, more: []string{"version"}},
	"user":         {oneOf: []string{"name", "uid", "account"}, more: []string{"email_addr", "type_id"}},
	"actor":        {oneOf: []string{"user", "app_name", "process", "invoked_by", "session", "app_uid"}},
	"service":      {oneOf: []string{"name", "uid"}},
	"session":      {more: []string{"uid"}},
	"entity":       {oneOf: []string{"name", "uid", "device", "group", "org", "policy", "user"}, more: []string{"type"}},
	"src_endpoint": {oneOf: []string{"ip", "uid", "name", "hostname", "svc_name", "instance_uid", "interface_uid", "interface_name"}},
	"unmapped":     {more: []string{"tier", "hash", "previousHash", "target", "details"}}, // ours
}

var (
	ofEvery = []string{"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
	ofSome  = []string{"activity_name", "status_id", "status_code", "message", "src_endpoint", "unmapped", "count", "start_time", "end_time"}
)

// activities are the names of activity_id in the same schema; 99 has none of its own.
var activities = map[float64][]string{
	3001: {"Unknown", "Create", "Enable", "Password Change", "Password Reset", "Disable", "Delete", "Attach Policy", "Detach Policy", "Lock", "MFA Factor Enable", "MFA Factor Disable"},
	3002: {"Unknown", "Logon", "Logoff", "Authentication Ticket", "Service Ticket Request", "Service Ticket Renew", "Preauth"},
	3004: {"Unknown", "Create", "Read", "Update", "Delete", "Move", "Enroll", "Unenroll", "Enable", "Disable", "Activate", "Deactivate", "Suspend", "Resume"},
}

// faults of an object and of those in it.
func faults(name string, value map[string]any) (all []string) {
	o := schema[name]
	has := func(attribute string) bool { v := value[attribute]; return v != nil && v != "" }
	for _, attribute := range o.required {
		if !has(attribute) {
			all = append(all, name+" has no "+attribute)
		}
	}
	if len(o.oneOf) > 0 && !slices.ContainsFunc(o.oneOf, has) {
		all = append(all, fmt.Sprintf("%s has none of %v", name, o.oneOf))
	}
	for attribute, v := range value {
		if !slices.Contains(slices.Concat(o.required, o.oneOf, o.more), attribute) {
			all = append(all, name+" has "+attribute+", which was not looked up in the schema")
		}
		if inner, ok := v.(map[string]any); ok && name != "unmapped" {
			all = append(all, faults(attribute, inner)...)
		}
	}
	return all
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
			for _, fault := range faults(fmt.Sprint(class), e) {
				t.Errorf("%s: %s: %s", typ, fault, text)
			}
			activity, _ := e["activity_id"].(float64)
			want := typ.String()
			if known := activities[class]; int(activity) < len(known) {
				want = known[int(activity)]
			}
			if activity == 0 || activity != 99 && want == typ.String() || e["activity_name"] != want {
				t.Errorf("%s: class %v has activity %v, which is not %v", typ, class, activity, e["activity_name"])
			}
			if profiles, _ := json.Marshal(e["metadata"].(map[string]any)["profiles"]); class == 3004 && string(profiles) != `["host"]` {
				t.Errorf("%s: actor is an attribute of the profile host there, and the profiles are %s", typ, profiles)
			}
			if e["type_uid"] != class*100+activity || e["category_uid"] != 3.0 || e["time"] != float64(at.UnixMilli()) {
				t.Errorf("%s: %s", typ, text)
			}
			if want := map[audit.Outcome]float64{"": 1, audit.OutcomeDenied: 2}[r.Outcome]; e["status_id"] != want {
				t.Errorf("%s: status %v, want %v", typ, e["status_id"], want)
			}
		}
	}
	for class := range activities {
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

// TestARecordOfManySaysHowMany in the words that receivers count by.
func TestARecordOfManySaysHowMany(t *testing.T) {
	l := line(t, audit.Record{Type: audit.TypeRefusalsCounted, Outcome: audit.OutcomeDenied, Reason: "replayed", Actor: audit.Actor{Kind: audit.ActorIdP, ID: "okta"},
		Details: audit.RefusalCount{Type: "saml_assertion_replayed", IdP: "okta", Count: 4711, First: at.Add(-time.Minute).Format(time.RFC3339), Last: at.Format(time.RFC3339)}})
	text, err := format.Write(format.OCSF, l)
	if err != nil {
		t.Fatal(err)
	}
	var e struct {
		Count          int64
		StartTime      int64 `json:"start_time"`
		EndTime        int64 `json:"end_time"`
		SeverityID     int64 `json:"severity_id"`
		AuthProtocolID int64 `json:"auth_protocol_id"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	if e.Count != 4711 || e.EndTime != at.UnixMilli() || e.EndTime-e.StartTime != 60_000 || e.SeverityID != 4 || e.AuthProtocolID != 5 {
		t.Errorf("%s", text)
	}
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults("3002", event) {
		t.Error(fault)
	}
	if text, err = format.Write(format.CEF, l); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"|refusals_counted|", "|9|", " cnt=4711 ", fmt.Sprintf(" start=%d end=%d ", e.StartTime, e.EndTime)} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in %s", want, text)
		}
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
