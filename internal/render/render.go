// Package render turns a ServiceProvider into the Kubernetes objects that run it. It is a pure function: what it returns is applied
// server-side by the operator, so that whatever other managers set on the same objects stays.
package render

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// Ports of a pod. The management port is in no Service.
const (
	PublicPort     = 8080
	ManagementPort = 8081
	// MetricsPort answers /metrics and nothing else: a scraper needs no way to the management port.
	MetricsPort = 8082
	// GRPCPort answers Envoy's ext_authz over gRPC.
	GRPCPort = 9001
)

// Labels that every object of a ServiceProvider carries.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelInstance  = "app.kubernetes.io/instance"
	LabelComponent = "app.kubernetes.io/component"
	LabelManagedBy = "app.kubernetes.io/managed-by"

	// annotationAuditKey on a pod rolls the pods when another key signs the audit log.
	annotationAuditKey = "sso.sallyport.dev/audit-key"

	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "sallyport-operator"

	gatewayAPI = "gateway.networking.k8s.io/v1"

	nameValue      = "sallyport"
	componentValue = "service-provider"
)

// Input is what the objects depend on besides the ServiceProvider.
type Input struct {
	ServiceProvider *v1alpha1.ServiceProvider
	// Image runs the pods: the operator's own, so that both are of one version.
	Image string
	// OperatorNamespace may reach the management port.
	OperatorNamespace string
	// AuditKeyID names the key that signs the audit log; when it changes, the pods are rolled. Empty: not known.
	AuditKeyID string
}

// Output is what has to be there and what must not be.
type Output struct {
	// Apply in this order: what a pod needs comes before the pod.
	Apply []runtime.ApplyConfiguration
	// HTTPRoute is apart because the Gateway API has no place in our dependencies; nil when it is not asked for.
	HTTPRoute *unstructured.Unstructured
	// Absent are objects of an earlier spec, to be deleted where we own them.
	Absent []Absent
}

// Absent names an object that must not exist.
type Absent struct {
	APIVersion, Kind, Name string
}

// ManagementSecretName is the Secret that holds the token of the management API.
func ManagementSecretName(serviceProvider string) string { return serviceProvider + "-management" }

// AuditSecretName is the Secret that holds the key which signs audit checkpoints, under AuditKeyFile.
func AuditSecretName(serviceProvider string) string { return serviceProvider + "-audit" }

// AuditKeyFile is the key of that Secret and the file in the pod.
const AuditKeyFile = "key.pem"

// AuditSuccessionsFile is the key of that Secret, and the file in the pod, with what introduced the key: a JSON list, missing as long as the key is the first.
const AuditSuccessionsFile = "successions.json"

// FactorSecretName is the Secret that holds the keys which encrypt second factors, under FactorKeyFile.
func FactorSecretName(serviceProvider string) string { return serviceProvider + "-second-factor" }

// FactorKeyFile is the key of that Secret and the file in the pod: 32 bytes in base64 a line, the newest first.
const FactorKeyFile = "keys"

// DomainKeySecretName is the Secret that holds the key which makes the TXT records of domains, under DomainKeyFile. No pod gets it.
func DomainKeySecretName(serviceProvider string) string {
	return serviceProvider + "-domain-verification"
}

// DomainKeyFile is the key of that Secret: 32 bytes in base64.
const DomainKeyFile = "key"

// HeaderSecretName is the Secret that keeps the keys of the signed header. The pods get them with the snapshot.
func HeaderSecretName(serviceProvider string) string { return serviceProvider + "-signed-header" }

// WorkloadName is the name of the Deployment or StatefulSet, the Service, the ServiceAccount and the rest.
func WorkloadName(serviceProvider string) string { return serviceProvider + "-sallyport" }

// Selector selects the pods of a ServiceProvider.
func Selector(serviceProvider string) map[string]string {
	return map[string]string{LabelName: nameValue, LabelInstance: serviceProvider, LabelComponent: componentValue}
}

// Labels are what every object of a ServiceProvider carries.
func Labels(serviceProvider string) map[string]string {
	labels := Selector(serviceProvider)
	labels[LabelManagedBy] = ManagedBy
	return labels
}

// Owner makes the ServiceProvider the controller of an object, so that both go together.
func Owner(sp *v1alpha1.ServiceProvider) *metaac.OwnerReferenceApplyConfiguration {
	return metaac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(v1alpha1.KindServiceProvider).
		WithName(sp.Name).WithUID(sp.UID).WithController(true).WithBlockOwnerDeletion(true)
}

// Render returns the objects of one ServiceProvider.
func Render(in Input) Output {
	sp := in.ServiceProvider
	out := Output{Apply: []runtime.ApplyConfiguration{serviceAccount(sp), role(sp), roleBinding(sp), service(sp), networkPolicy(in), disruptionBudget(sp)}}
	workload := WorkloadName(sp.Name)
	if postgres(sp) != nil {
		out.Apply = append(out.Apply, deployment(in))
		out.Absent = append(out.Absent, Absent{"apps/v1", "StatefulSet", workload})
	} else {
		out.Apply = append(out.Apply, volumeClaim(sp), statefulSet(in))
		out.Absent = append(out.Absent, Absent{"apps/v1", "Deployment", workload})
	}
	if sp.Spec.Expose != nil && sp.Spec.Expose.Ingress != nil {
		out.Apply = append(out.Apply, ingress(sp))
	} else {
		out.Absent = append(out.Absent, Absent{"networking.k8s.io/v1", "Ingress", workload})
	}
	if sp.Spec.Expose != nil && sp.Spec.Expose.HTTPRoute != nil {
		out.HTTPRoute = httpRoute(sp)
	} else {
		out.Absent = append(out.Absent, Absent{gatewayAPI, "HTTPRoute", workload})
	}
	return out
}

func postgres(sp *v1alpha1.ServiceProvider) *v1alpha1.PostgresStore {
	if sp.Spec.Store == nil {
		return nil
	}
	return sp.Spec.Store.Postgres
}

func sqlite(sp *v1alpha1.ServiceProvider) v1alpha1.SQLiteStore {
	if sp.Spec.Store == nil || sp.Spec.Store.SQLite == nil {
		return v1alpha1.SQLiteStore{}
	}
	return *sp.Spec.Store.SQLite
}

func volumeClaimName(serviceProvider string) string { return WorkloadName(serviceProvider) + "-data" }

func labelSelector(serviceProvider string) *metaac.LabelSelectorApplyConfiguration {
	return metaac.LabelSelector().WithMatchLabels(Selector(serviceProvider))
}

// httpRoute is untyped, see Output.HTTPRoute.
func httpRoute(sp *v1alpha1.ServiceProvider) *unstructured.Unstructured {
	var parents []any
	for _, ref := range sp.Spec.Expose.HTTPRoute.ParentRefs {
		parent := map[string]any{"name": string(ref.Name)}
		if ref.Namespace != "" {
			parent["namespace"] = string(ref.Namespace)
		}
		if ref.SectionName != "" {
			parent["sectionName"] = string(ref.SectionName)
		}
		parents = append(parents, parent)
	}
	backend := map[string]any{"name": WorkloadName(sp.Name), "port": int64(80)}
	route := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": gatewayAPI,
		"kind":       "HTTPRoute",
		"spec": map[string]any{
			"hostnames":  []any{host(sp.Spec.URL)},
			"parentRefs": parents,
			"rules":      []any{map[string]any{"backendRefs": []any{backend}}},
		},
	}}
	route.SetName(WorkloadName(sp.Name))
	route.SetNamespace(sp.Namespace)
	route.SetLabels(Labels(sp.Name))
	yes := true
	route.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.KindServiceProvider,
		Name: sp.Name, UID: sp.UID, Controller: &yes, BlockOwnerDeletion: &yes}})
	return route
}

func storeArguments(sp *v1alpha1.ServiceProvider) []string {
	if p := postgres(sp); p != nil {
		arguments := []string{"--store-url-file=/store/uri"}
		if p.CABundle != nil {
			arguments = append(arguments, "--store-ca-file=/store-ca/ca.crt")
		}
		return arguments
	}
	return []string{"--store=sqlite:///data/sallyport.db"}
}

func arguments(sp *v1alpha1.ServiceProvider) []string {
	return append([]string{
		"--snapshot-dir=/snapshot",
		"--snapshot-secret=" + sp.Name,
		"--namespace=" + sp.Namespace,
		fmt.Sprintf("--listen=:%d", PublicPort),
		fmt.Sprintf("--management-listen=:%d", ManagementPort),
		fmt.Sprintf("--metrics-listen=:%d", MetricsPort),
		fmt.Sprintf("--grpc-listen=:%d", GRPCPort),
		"--management-token-file=/management/token",
		"--audit-key-file=/audit/" + AuditKeyFile,
		"--audit-successions-file=/audit/" + AuditSuccessionsFile,
		"--second-factor-key-file=/second-factor/" + FactorKeyFile,
	}, storeArguments(sp)...)
}
