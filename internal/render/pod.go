package render

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

const (
	nonRoot = 65532
	// terminationGrace leaves room for failing readiness first, serving on until every proxy has noticed, and then draining.
	terminationGrace = 30
)

func podTemplate(in Input) *coreac.PodTemplateSpecApplyConfiguration {
	sp := in.ServiceProvider
	pods := v1alpha1.PodSettings{}
	if sp.Spec.Pods != nil {
		pods = *sp.Spec.Pods
	}
	spec := coreac.PodSpec().
		WithServiceAccountName(WorkloadName(sp.Name)).
		WithTerminationGracePeriodSeconds(terminationGrace).
		WithEnableServiceLinks(false).
		WithSecurityContext(coreac.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(nonRoot).WithRunAsGroup(nonRoot).WithFSGroup(nonRoot).
			WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch).
			WithSeccompProfile(coreac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithContainers(container(in, pods)).
		WithVolumes(volumes(sp)...).
		WithNodeSelector(pods.NodeSelector).
		WithTopologySpreadConstraints(spread(sp, pods)...)
	if pods.PriorityClassName != "" {
		spec.WithPriorityClassName(string(pods.PriorityClassName))
	}
	for _, secret := range pods.ImagePullSecrets {
		spec.WithImagePullSecrets(coreac.LocalObjectReference().WithName(string(secret.Name)))
	}
	for i := range pods.Tolerations {
		spec.WithTolerations(convert[coreac.TolerationApplyConfiguration](pods.Tolerations[i]))
	}
	if pods.Affinity != nil {
		spec.WithAffinity(convert[coreac.AffinityApplyConfiguration](pods.Affinity))
	}
	annotations := map[string]string{"kubectl.kubernetes.io/default-container": componentValue}
	if in.AuditKeyID != "" {
		annotations[annotationAuditKey] = in.AuditKeyID
	}
	return coreac.PodTemplateSpec().
		WithLabels(Labels(sp.Name)).
		WithAnnotations(annotations).
		WithAnnotations(pods.Annotations).
		WithSpec(spec)
}

func container(in Input, pods v1alpha1.PodSettings) *coreac.ContainerApplyConfiguration {
	sp := in.ServiceProvider
	c := coreac.Container().
		WithName(componentValue).
		WithImage(in.Image).
		WithImagePullPolicy(corev1.PullIfNotPresent).
		WithCommand("/serviceprovider").
		WithArgs(arguments(sp)...).
		WithEnv(coreac.EnvVar().WithName("POD_NAME").
			WithValueFrom(coreac.EnvVarSource().WithFieldRef(coreac.ObjectFieldSelector().WithFieldPath("metadata.name")))).
		WithEnv(tracing(sp)...).
		WithPorts(
			coreac.ContainerPort().WithName("http").WithContainerPort(PublicPort).WithProtocol(corev1.ProtocolTCP),
			coreac.ContainerPort().WithName("grpc").WithContainerPort(GRPCPort).WithProtocol(corev1.ProtocolTCP),
			coreac.ContainerPort().WithName("management").WithContainerPort(ManagementPort).WithProtocol(corev1.ProtocolTCP),
			coreac.ContainerPort().WithName("metrics").WithContainerPort(MetricsPort).WithProtocol(corev1.ProtocolTCP)).
		WithStartupProbe(probe("/healthz").WithPeriodSeconds(1).WithFailureThreshold(60)).
		WithLivenessProbe(probe("/healthz").WithPeriodSeconds(20).WithTimeoutSeconds(5).WithFailureThreshold(3)).
		WithReadinessProbe(probe("/readyz?exclude=store").WithPeriodSeconds(1).WithTimeoutSeconds(2).WithFailureThreshold(2)).
		WithSecurityContext(coreac.SecurityContext().
			WithAllowPrivilegeEscalation(false).WithReadOnlyRootFilesystem(true).
			WithCapabilities(coreac.Capabilities().WithDrop("ALL"))).
		WithVolumeMounts(
			coreac.VolumeMount().WithName("snapshot").WithMountPath("/snapshot").WithReadOnly(true),
			coreac.VolumeMount().WithName("management").WithMountPath("/management").WithReadOnly(true),
			coreac.VolumeMount().WithName("audit").WithMountPath("/audit").WithReadOnly(true),
			coreac.VolumeMount().WithName("second-factor").WithMountPath("/second-factor").WithReadOnly(true),
			coreac.VolumeMount().WithName("tmp").WithMountPath("/tmp"))
	if p := postgres(sp); p != nil {
		c.WithVolumeMounts(coreac.VolumeMount().WithName("store").WithMountPath("/store").WithReadOnly(true))
		if p.CABundle != nil {
			c.WithVolumeMounts(coreac.VolumeMount().WithName("store-ca").WithMountPath("/store-ca").WithReadOnly(true))
		}
	} else {
		c.WithVolumeMounts(coreac.VolumeMount().WithName("data").WithMountPath("/data"))
	}
	needs := resources(pods)
	limit := memoryLimit(needs)
	if soft, ok := softLimit(limit); ok {
		c.WithEnv(coreac.EnvVar().WithName("GOMEMLIMIT").WithValue(soft))
	}
	return c.WithArgs(sessionCache(limit)...).WithResources(convert[coreac.ResourceRequirementsApplyConfiguration](needs))
}

// tracing are the variables of the OpenTelemetry specification, which the service provider takes without Kubernetes too.
func tracing(sp *v1alpha1.ServiceProvider) []*coreac.EnvVarApplyConfiguration {
	settings := sp.Spec.Tracing
	if settings == nil {
		return nil
	}
	percent := settings.SamplePercent
	if percent == 0 {
		percent = 100
	}
	set := func(name, value string) *coreac.EnvVarApplyConfiguration {
		return coreac.EnvVar().WithName(name).WithValue(value)
	}
	return []*coreac.EnvVarApplyConfiguration{
		set("OTEL_EXPORTER_OTLP_ENDPOINT", settings.Endpoint),
		set("OTEL_TRACES_SAMPLER", "traceidratio"),
		set("OTEL_TRACES_SAMPLER_ARG", fmt.Sprintf("%.2f", float64(percent)/100)),
		set("OTEL_RESOURCE_ATTRIBUTES", fmt.Sprintf("k8s.namespace.name=%s,k8s.pod.name=$(POD_NAME),sso.serviceprovider=%s", sp.Namespace, sp.Name)),
	}
}

func probe(path string) *coreac.ProbeApplyConfiguration {
	return coreac.Probe().WithHTTPGet(coreac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString("management")))
}

// auditFile is one file of the Secret with the audit key; the public half stays where it is.
func auditFile(sp *v1alpha1.ServiceProvider, name string, optional bool) *coreac.VolumeProjectionApplyConfiguration {
	return coreac.VolumeProjection().WithSecret(coreac.SecretProjection().WithName(AuditSecretName(sp.Name)).WithOptional(optional).
		WithItems(coreac.KeyToPath().WithKey(name).WithPath(name)))
}

func volumes(sp *v1alpha1.ServiceProvider) []*coreac.VolumeApplyConfiguration {
	// Every shard is mounted, there or not, so that a pod starts with what it last had while the API server is down.
	projected := coreac.ProjectedVolumeSource().WithDefaultMode(0o440)
	for _, file := range snapshot.FileNames() {
		projected.WithSources(coreac.VolumeProjection().WithSecret(coreac.SecretProjection().
			WithName(snapshot.SecretName(sp.Name, file)).WithOptional(true)))
	}
	all := []*coreac.VolumeApplyConfiguration{
		coreac.Volume().WithName("snapshot").WithProjected(projected),
		coreac.Volume().WithName("management").WithSecret(coreac.SecretVolumeSource().WithSecretName(ManagementSecretName(sp.Name)).WithDefaultMode(0o440)),
		coreac.Volume().WithName("audit").WithProjected(coreac.ProjectedVolumeSource().WithDefaultMode(0o440).
			WithSources(auditFile(sp, AuditKeyFile, false), auditFile(sp, AuditSuccessionsFile, true))),
		coreac.Volume().WithName("second-factor").WithSecret(coreac.SecretVolumeSource().WithSecretName(FactorSecretName(sp.Name)).WithDefaultMode(0o440).
			WithItems(coreac.KeyToPath().WithKey(FactorKeyFile).WithPath(FactorKeyFile))),
		coreac.Volume().WithName("tmp").WithEmptyDir(coreac.EmptyDirVolumeSource().WithSizeLimit(resource.MustParse("64Mi"))),
	}
	if p := postgres(sp); p != nil {
		key := string(p.ConnectionSecretRef.Key)
		if key == "" {
			key = v1alpha1.DefaultConnectionKey
		}
		all = append(all, coreac.Volume().WithName("store").WithSecret(coreac.SecretVolumeSource().
			WithSecretName(string(p.ConnectionSecretRef.Name)).WithDefaultMode(0o440).
			WithItems(coreac.KeyToPath().WithKey(key).WithPath("uri"))))
		if p.CABundle != nil {
			all = append(all, authorities(p.CABundle))
		}
		return all
	}
	return append(all, coreac.Volume().WithName("data").
		WithPersistentVolumeClaim(coreac.PersistentVolumeClaimVolumeSource().WithClaimName(volumeClaimName(sp.Name))))
}

// authorities are those that verify the server of the store. They have a volume of their own: one with the connection URI would stand still as a whole while one of the two is
// missing. It is not optional, so that a pod that runs keeps its files when the object goes, as with the URI, and a pod that starts waits for it.
func authorities(source *v1alpha1.CABundleSource) *coreac.VolumeApplyConfiguration {
	volume := coreac.Volume().WithName("store-ca")
	file := func(key string) *coreac.KeyToPathApplyConfiguration {
		return coreac.KeyToPath().WithKey(key).WithPath("ca.crt")
	}
	if ref := source.ConfigMapRef; ref != nil {
		return volume.WithConfigMap(coreac.ConfigMapVolumeSource().WithName(string(ref.Name)).WithDefaultMode(0o440).WithItems(file(ref.KeyOr(v1alpha1.DefaultCAKey))))
	}
	ref := source.SecretRef
	return volume.WithSecret(coreac.SecretVolumeSource().WithSecretName(string(ref.Name)).WithDefaultMode(0o440).WithItems(file(ref.KeyOr(v1alpha1.DefaultCAKey))))
}

// spread keeps the pods apart, softly, unless the user says how.
func spread(sp *v1alpha1.ServiceProvider, pods v1alpha1.PodSettings) []*coreac.TopologySpreadConstraintApplyConfiguration {
	if len(pods.TopologySpreadConstraints) == 0 {
		var all []*coreac.TopologySpreadConstraintApplyConfiguration
		for _, key := range []string{"topology.kubernetes.io/zone", "kubernetes.io/hostname"} {
			all = append(all, coreac.TopologySpreadConstraint().WithTopologyKey(key).WithMaxSkew(1).
				WithWhenUnsatisfiable(corev1.ScheduleAnyway).WithLabelSelector(labelSelector(sp.Name)))
		}
		return all
	}
	var all []*coreac.TopologySpreadConstraintApplyConfiguration
	for i := range pods.TopologySpreadConstraints {
		constraint := convert[coreac.TopologySpreadConstraintApplyConfiguration](pods.TopologySpreadConstraints[i])
		if constraint.LabelSelector == nil {
			constraint.WithLabelSelector(labelSelector(sp.Name))
		}
		all = append(all, constraint)
	}
	return all
}

func metaFor[T interface {
	WithLabels(map[string]string) T
	WithOwnerReferences(...*metaac.OwnerReferenceApplyConfiguration) T
}](object T, sp *v1alpha1.ServiceProvider) T {
	return object.WithLabels(Labels(sp.Name)).WithOwnerReferences(Owner(sp))
}
