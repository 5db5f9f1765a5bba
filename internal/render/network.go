package render

import (
	"net/url"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingac "k8s.io/client-go/applyconfigurations/networking/v1"
	policyac "k8s.io/client-go/applyconfigurations/policy/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
)

func service(sp *v1alpha1.ServiceProvider) *coreac.ServiceApplyConfiguration {
	return metaFor(coreac.Service(WorkloadName(sp.Name), sp.Namespace), sp).
		WithSpec(coreac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(Selector(sp.Name)).
			WithPorts(
				coreac.ServicePort().WithName("http").WithPort(80).WithTargetPort(intstr.FromString("http")).WithProtocol(corev1.ProtocolTCP),
				coreac.ServicePort().WithName("grpc").WithPort(GRPCPort).WithTargetPort(intstr.FromString("grpc")).WithProtocol(corev1.ProtocolTCP).
					WithAppProtocol("kubernetes.io/h2c")))
}

// networkPolicy keeps the management port for the operator. Probes come from the node, which a NetworkPolicy does not hold.
func networkPolicy(in Input) *networkingac.NetworkPolicyApplyConfiguration {
	sp := in.ServiceProvider
	operator := networkingac.NetworkPolicyPeer().
		WithNamespaceSelector(metaac.LabelSelector().WithMatchLabels(map[string]string{"kubernetes.io/metadata.name": in.OperatorNamespace})).
		WithPodSelector(metaac.LabelSelector().WithMatchLabels(map[string]string{LabelName: nameValue, LabelComponent: "operator"}))
	return metaFor(networkingac.NetworkPolicy(WorkloadName(sp.Name), sp.Namespace), sp).
		WithSpec(networkingac.NetworkPolicySpec().
			WithPodSelector(labelSelector(sp.Name)).
			WithPolicyTypes(networkingv1.PolicyTypeIngress).
			WithIngress(
				networkingac.NetworkPolicyIngressRule().WithPorts(
					networkingac.NetworkPolicyPort().WithPort(intstr.FromString("http")), networkingac.NetworkPolicyPort().WithPort(intstr.FromString("grpc")),
					networkingac.NetworkPolicyPort().WithPort(intstr.FromString("metrics"))),
				networkingac.NetworkPolicyIngressRule().WithPorts(networkingac.NetworkPolicyPort().WithPort(intstr.FromString("management"))).WithFrom(operator)))
}

// disruptionBudget keeps one pod through a drain where there are several; with one it must not hold the drain up.
func disruptionBudget(sp *v1alpha1.ServiceProvider) *policyac.PodDisruptionBudgetApplyConfiguration {
	return metaFor(policyac.PodDisruptionBudget(WorkloadName(sp.Name), sp.Namespace), sp).
		WithSpec(policyac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithSelector(labelSelector(sp.Name)))
}

func ingress(sp *v1alpha1.ServiceProvider) *networkingac.IngressApplyConfiguration {
	settings := sp.Spec.Expose.Ingress
	hostname := host(sp.Spec.URL)
	tls := networkingac.IngressTLS().WithHosts(hostname)
	if settings.TLSSecretName != "" {
		tls.WithSecretName(string(settings.TLSSecretName))
	}
	spec := networkingac.IngressSpec().
		WithTLS(tls).
		WithRules(networkingac.IngressRule().WithHost(hostname).WithHTTP(networkingac.HTTPIngressRuleValue().WithPaths(
			networkingac.HTTPIngressPath().WithPath("/").WithPathType(networkingv1.PathTypePrefix).
				WithBackend(networkingac.IngressBackend().WithService(networkingac.IngressServiceBackend().
					WithName(WorkloadName(sp.Name)).WithPort(networkingac.ServiceBackendPort().WithName("http")))))))
	if settings.ClassName != "" {
		spec.WithIngressClassName(string(settings.ClassName))
	}
	return metaFor(networkingac.Ingress(WorkloadName(sp.Name), sp.Namespace), sp).WithAnnotations(settings.Annotations).WithSpec(spec)
}

// host is the host name of an external URL; the API server has checked the URL's form.
func host(external string) string {
	parsed, err := url.Parse(external)
	if err != nil {
		return ""
	}
	return parsed.Hostname()
}
