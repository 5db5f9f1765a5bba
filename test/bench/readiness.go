package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// readiness follows which objects are not Ready for the generation that they have.
type readiness struct {
	mutex   sync.Mutex
	waiting map[string]bool
	// at is when the last one became Ready; changed is closed then, and when an object is there to be waited for.
	at      time.Time
	changed chan struct{}
}

// watchReadiness follows every object of the kinds in the namespace until the context ends.
func watchReadiness(ctx context.Context, client dynamic.Interface, namespace string, kinds ...schema.GroupVersionResource) (*readiness, error) {
	r := &readiness{waiting: map[string]bool{}, changed: make(chan struct{})}
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, namespace, nil)
	for _, kind := range kinds {
		informer := factory.ForResource(kind).Informer()
		if err := informer.SetTransform(small); err != nil {
			return nil, err
		}
		see := func(o any) { r.see(kind, o.(*unstructured.Unstructured)) }
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: see, UpdateFunc: func(_, o any) { see(o) }}); err != nil {
			return nil, err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return r, nil
}

// small leaves nothing of an object but whether it is Ready.
func small(o any) (any, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return o, nil
	}
	slim := &unstructured.Unstructured{Object: map[string]any{"ready": ready(u)}}
	slim.SetName(u.GetName())
	slim.SetNamespace(u.GetNamespace())
	slim.SetResourceVersion(u.GetResourceVersion())
	return slim, nil
}

// expect has the object waited for, whatever was seen of it before.
func (r *readiness) expect(kind schema.GroupVersionResource, name string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.waiting[kind.Resource+"/"+name] = true
}

func (r *readiness) see(kind schema.GroupVersionResource, o *unstructured.Unstructured) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	name := kind.Resource + "/" + o.GetName()
	if isReady, _ := o.Object["ready"].(bool); !isReady {
		r.waiting[name] = true
		return
	}
	if r.waiting[name] {
		delete(r.waiting, name)
		r.at = time.Now()
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// all waits until every object is Ready, and returns when the last one became so.
func (r *readiness) all(ctx context.Context, within time.Duration) (time.Time, error) {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		r.mutex.Lock()
		left, at, changed := slices.Collect(maps.Keys(r.waiting)), r.at, r.changed
		r.mutex.Unlock()
		if len(left) == 0 {
			return at, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return at, ctx.Err()
		case <-deadline.C:
			return at, fmt.Errorf("%d objects were not Ready within %s, among them %s", len(left), within, left[0])
		}
	}
}
