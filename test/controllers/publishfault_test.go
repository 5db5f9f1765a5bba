package controllers

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/internal/snapshot"
)

// TestASnapshotThatWasHalfWrittenIsMadeGood: a shard is written and the index is not, and then the shard shall be what the index still says that it is. A pod that
// starts must find both in the same revision.
func TestASnapshotThatWasHalfWrittenIsMadeGood(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	okta := identityProvider(ns, "okta", inline(t))
	create(t, serviceProvider(ns), okta)
	newPod(t, ns, "main")
	await(t, okta, "Ready", isTrue, "Serving")

	neighbour := ""
	for i := 0; neighbour == ""; i++ {
		if name := fmt.Sprintf("idp-%d", i); snapshot.ShardOf(name) == snapshot.ShardOf("okta") {
			neighbour = name
		}
	}
	shard := snapshot.ShardFile(snapshot.ShardOf("okta"))
	content := func() string {
		var secret corev1.Secret
		if err := k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: snapshot.SecretName("main", shard)}, &secret); err != nil {
			t.Fatal(err)
		}
		return string(secret.Data[shard])
	}
	before := content()
	o.wire.lose("/secrets/" + snapshot.SecretName("main", snapshot.IndexFile))
	late := identityProvider(ns, neighbour, inline(t))
	create(t, late)
	eventually(t, "the shard is written", func() bool { return content() != before })
	remove(t, late)
	awaitGone(t, patience, late)
	o.wire.lose("")
	eventually(t, "shard and index are of one revision", func() bool {
		s, err := tryServed(t, ns)
		return err == nil && len(s.Connections) == 1
	})
}
