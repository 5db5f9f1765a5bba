package controllers

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/tracing/tracingtest"
)

// attribute is what a span says of a name.
func attribute(span *tracev1.Span, name string) string {
	i := slices.IndexFunc(span.Attributes, func(a *commonv1.KeyValue) bool { return a.Key == name })
	if i < 0 {
		return ""
	}
	return span.Attributes[i].Value.GetStringValue()
}

// TestPassesAndRefreshesAreTraced: what the operator does for whom and how it ended, and nothing of what it reads.
func TestPassesAndRefreshesAreTraced(t *testing.T) {
	collector := tracingtest.NewCollector(t)
	ns := namespace(t)
	newOperator(t, ns, withTracer(tracingtest.Tracer(t, collector.URL)))
	server, set := metadataServer(t)
	set(answer(idpMetadata(t, "https://idp.example.com/")))
	idp, ca := fromServer(ns, "okta", server)
	idp.Spec.SAML.Metadata.URL += "?token=s3cr3t"
	create(t, ca, serviceProvider(ns), idp, domainBinding(ns, "acme", "acme.example", "okta"))
	newPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
	set(http.NotFound)
	refresh(t, idp, "1")
	await(t, idp, "MetadataFresh", isFalse, "FetchFailed")
	eventually(t, "two refreshes and a pass", func() bool {
		return len(collector.Named("metadata.refresh")) == 2 && len(collector.Named("operator.writing_status")) > 0
	})
	good, failed := collector.Named("metadata.refresh")[0], collector.Named("metadata.refresh")[1]
	for _, s := range []*tracev1.Span{good, failed} {
		if attribute(s, "k8s.namespace.name") != ns || attribute(s, "sso.serviceprovider") != "main" || attribute(s, "sso.idp") != "okta" ||
			attribute(s, "server.address") != strings.TrimPrefix(server.URL, "https://") || len(s.ParentSpanId) != 0 {
			t.Errorf("%v", s)
		}
	}
	if attribute(good, "sso.outcome") != "success" || attribute(failed, "sso.outcome") != "failure" || attribute(failed, "sso.reason") != "HTTPStatus" ||
		failed.Status.GetCode() != tracev1.Status_STATUS_CODE_ERROR {
		t.Errorf("%v, %v", good, failed)
	}
	partOf := func(root *tracev1.Span, name string) bool {
		return slices.ContainsFunc(collector.Named(name), func(s *tracev1.Span) bool { return string(s.ParentSpanId) == string(root.SpanId) })
	}
	if !partOf(good, "metadata.request") || !partOf(good, "metadata.read") || !partOf(failed, "metadata.request") || partOf(failed, "metadata.read") {
		t.Error("the refreshes have not the parts that they should")
	}
	whole := slices.IndexFunc(collector.Named("operator.pass"), func(s *tracev1.Span) bool {
		return attribute(s, "sso.serviceprovider") == "main" && attribute(s, "k8s.namespace.name") == ns && partOf(s, "operator.reading_the_objects") &&
			partOf(s, "operator.compiling_the_snapshot") && partOf(s, "operator.publishing_the_snapshot") && partOf(s, "operator.writing_status")
	})
	if whole < 0 {
		t.Errorf("no pass has all its steps: %v", collector.Named("operator.pass"))
	}
	for _, forbidden := range []string{"s3cr3t", "token=", "/metadata", "acme.example", "BEGIN", "PRIVATE", "idp.example.com", "main-sallyport-0", v1alpha1.AnnotationRefresh} {
		if strings.Contains(collector.Text(), forbidden) {
			t.Errorf("a span holds %q", forbidden)
		}
	}
}
