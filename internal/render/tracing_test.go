package render

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
)

func TestTracingReachesThePodAsVariables(t *testing.T) {
	sp := &v1alpha1.ServiceProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "sso", Name: "main"}}
	environment := func() map[string]string {
		all := map[string]string{}
		for _, v := range podTemplate(Input{ServiceProvider: sp, Image: "none"}).Spec.Containers[0].Env {
			if v.Value != nil && *v.Name != "GOMEMLIMIT" {
				all[*v.Name] = *v.Value
			}
		}
		return all
	}
	if got := environment(); len(got) != 0 {
		t.Errorf("without tracing the pod has %v", got)
	}
	sp.Spec.Tracing = &v1alpha1.TracingSettings{Endpoint: "http://otel-collector.observability:4318", SamplePercent: 5}
	got := environment()
	for name, want := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-collector.observability:4318", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.05",
		"OTEL_RESOURCE_ATTRIBUTES": "k8s.namespace.name=sso,k8s.pod.name=$(POD_NAME),sso.serviceprovider=main",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}
