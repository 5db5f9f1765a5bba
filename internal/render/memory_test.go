package render

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// TestMemoryFollowsTheLimit: more memory for the pods is more sessions in the cache, and Go knows the limit before the kernel enforces it.
func TestMemoryFollowsTheLimit(t *testing.T) {
	limited := func(memory string) *corev1.ResourceRequirements {
		return &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}}
	}
	for name, c := range map[string]struct {
		resources           *corev1.ResourceRequirements
		cacheBytes, goLimit string // "" is not set
	}{
		"the default":      {nil, "67108864", "483183821"},
		"more":             {limited("2Gi"), "268435456", "1932735284"},
		"less":             {limited("128M"), "16000000", "115200000"},
		"hardly any":       {limited("4Mi"), "1048576", "3774874"},
		"no limit":         {&corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("4Gi")}}, "", ""},
		"none of anything": {&corev1.ResourceRequirements{}, "", ""},
	} {
		sp := &v1alpha1.ServiceProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "sso", Name: "main"}, Spec: v1alpha1.ServiceProviderSpec{Pods: &v1alpha1.PodSettings{Resources: c.resources}}}
		container := podTemplate(Input{ServiceProvider: sp, Image: "none"}).Spec.Containers[0]
		cacheBytes, goLimit := "", ""
		for _, argument := range container.Args {
			if value, ok := strings.CutPrefix(argument, "--session-cache-bytes="); ok {
				cacheBytes += value
			}
		}
		for _, v := range container.Env {
			if *v.Name == "GOMEMLIMIT" {
				goLimit += *v.Value
			}
		}
		if cacheBytes != c.cacheBytes || goLimit != c.goLimit {
			t.Errorf("%s: a cache of %q and a soft limit of %q", name, cacheBytes, goLimit)
		}
	}
}
