package compile

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

func TestAuditSinks(t *testing.T) {
	sp := &v1alpha1.ServiceProvider{ObjectMeta: metav1.ObjectMeta{Name: "main", Namespace: "sso", UID: "u"}}
	sp.Spec.URL = "https://sso.example.com"
	sp.Spec.Audit.Sinks = []v1alpha1.AuditSink{
		{Name: "siem", Webhook: &v1alpha1.WebhookSink{URL: "https://siem.example.com", KeySecretRef: v1alpha1.SecretKeyReference{Name: "siem"}}},
		{Name: "otel", Format: v1alpha1.AuditFormatOCSF, OTLP: &v1alpha1.OTLPSink{URL: "https://otel.example.com/v1/logs"}},
		{Name: "log", Syslog: &v1alpha1.SyslogSink{Address: "syslog.example.com:6514"}},
	}
	in := Input{Name: "main", ServiceProvider: sp, Sinks: map[string]ResolvedSink{"siem": {Secret: []byte("k1")}, "otel": {}, "log": {CABundle: []byte("pem")}}}
	out := Compile(in)
	want := []snapshot.AuditSink{
		{Name: "log", Type: "Syslog", Format: "Native", Endpoint: "syslog.example.com:6514", CABundle: []byte("pem")},
		{Name: "otel", Type: "OTLP", Format: "OCSF", Endpoint: "https://otel.example.com/v1/logs"},
		{Name: "siem", Type: "Webhook", Format: "Native", Endpoint: "https://siem.example.com", Secret: []byte("k1")},
	}
	check := func(what string, out *Output, want []snapshot.AuditSink) {
		t.Helper()
		got := out.Snapshot.ServiceProvider.AuditSinks
		if len(got) != len(want) {
			t.Fatalf("%s: %+v", what, got)
		}
		for i := range want {
			if got[i].Name != want[i].Name || got[i].Type != want[i].Type || got[i].Format != want[i].Format || got[i].Endpoint != want[i].Endpoint || string(got[i].Secret) != string(want[i].Secret) {
				t.Errorf("%s: %+v, want %+v", what, got[i], want[i])
			}
		}
	}
	check("all", out, want)
	// A Secret that is gone: the sink stays as it was, the rest of the spec counts, and the ServiceProvider says what is missing.
	in.Previous = out.Snapshot
	sp.Spec.URL = "https://new.example.com"
	in.Sinks["siem"] = ResolvedSink{Reason: v1alpha1.ReasonReferenceNotFound, Message: "spec.audit.sinks[siem].webhook.keySecretRef: there is no Secret siem in this namespace: create it, or correct the name."}
	again := Compile(in)
	check("without the Secret", again, want)
	f := again.Finding(v1alpha1.KindServiceProvider, "main")
	if c := f.Condition(v1alpha1.ConditionAccepted); c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "no Secret siem") {
		t.Errorf("%+v", c)
	}
	if again.Snapshot.ServiceProvider.URL != "https://new.example.com" {
		t.Error("one sink held up the other settings")
	}
	in.Previous = nil
	check("a sink that never was", Compile(in), want[:2])
}
