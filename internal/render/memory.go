package render

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"sallyport.dev/sallyport/api/v1alpha1"
)

const (
	// cacheShare of the memory limit is for the session cache: 64 MiB of the default. What else there is at its worst, the cache's own garbage, bodies that are being read
	// and the snapshot, has room beside it.
	cacheShare = 8
	// leastCache is the least that the service provider takes, in bytes.
	leastCache = 1 << 20
)

// resources are those of the pods, or the default.
func resources(pods v1alpha1.PodSettings) corev1.ResourceRequirements {
	if pods.Resources != nil {
		return *pods.Resources
	}
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
	}
}

// memoryLimit is in bytes; 0 is none.
func memoryLimit(r corev1.ResourceRequirements) int64 {
	limit := r.Limits[corev1.ResourceMemory]
	return limit.Value()
}

// sessionCache is the flag of the cache that a memory limit allows. Without a limit there is none, and the program's own default counts.
func sessionCache(limit int64) []string {
	if limit <= 0 {
		return nil
	}
	return []string{fmt.Sprintf("--session-cache-bytes=%d", max(limit/cacheShare, leastCache))}
}

// softLimit is what Go collects garbage harder below, so that a pod slows down before it is killed: nine tenths of the limit, for what is not Go's heap.
func softLimit(limit int64) (bytes string, ok bool) {
	return fmt.Sprint(limit - limit/10), limit > 0
}
