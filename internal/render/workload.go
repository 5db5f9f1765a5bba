package render

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
)

func deployment(in Input) *appsac.DeploymentApplyConfiguration {
	sp := in.ServiceProvider
	return metaFor(appsac.Deployment(WorkloadName(sp.Name), sp.Namespace), sp).
		WithSpec(appsac.DeploymentSpec().
			WithReplicas(replicas(sp)).
			WithRevisionHistoryLimit(2).
			// No pod goes before its successor is ready.
			WithStrategy(appsac.DeploymentStrategy().WithType(appsv1.RollingUpdateDeploymentStrategyType).
				WithRollingUpdate(appsac.RollingUpdateDeployment().WithMaxUnavailable(intstr.FromInt32(0)).WithMaxSurge(intstr.FromInt32(1)))).
			WithSelector(labelSelector(sp.Name)).
			WithTemplate(podTemplate(in)))
}

// statefulSet holds the one pod of a SQLite store: two must never open the same file.
func statefulSet(in Input) *appsac.StatefulSetApplyConfiguration {
	sp := in.ServiceProvider
	return metaFor(appsac.StatefulSet(WorkloadName(sp.Name), sp.Namespace), sp).
		WithSpec(appsac.StatefulSetSpec().
			WithReplicas(1).
			WithRevisionHistoryLimit(2).
			WithServiceName(WorkloadName(sp.Name)).
			WithPodManagementPolicy(appsv1.ParallelPodManagement).
			WithSelector(labelSelector(sp.Name)).
			WithTemplate(podTemplate(in)))
}

// volumeClaim is ours and not the StatefulSet's, so that its size can be changed and that reclaim Delete takes it along.
// With Retain it has no owner: it stays, and a ServiceProvider of the same name finds it again.
func volumeClaim(sp *v1alpha1.ServiceProvider) *coreac.PersistentVolumeClaimApplyConfiguration {
	settings := sqlite(sp)
	size := resource.MustParse(v1alpha1.DefaultSQLiteSize)
	if settings.Size != nil {
		size = *settings.Size
	}
	spec := coreac.PersistentVolumeClaimSpec().
		WithAccessModes(corev1.ReadWriteOnce).
		WithResources(coreac.VolumeResourceRequirements().WithRequests(corev1.ResourceList{corev1.ResourceStorage: size}))
	if settings.StorageClassName != nil {
		spec.WithStorageClassName(string(*settings.StorageClassName))
	}
	claim := coreac.PersistentVolumeClaim(volumeClaimName(sp.Name), sp.Namespace).WithLabels(Labels(sp.Name)).WithSpec(spec)
	if settings.Reclaim == v1alpha1.ReclaimDelete {
		claim.WithOwnerReferences(Owner(sp))
	}
	return claim
}

func replicas(sp *v1alpha1.ServiceProvider) int32 { return max(1, sp.Spec.Replicas) }
