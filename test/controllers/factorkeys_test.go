package controllers

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// TestALostSecondFactorKeyIsTold: an operator that finds no key when it starts makes one, and every second factor that the one before encrypted is lost. Whoever reads
// the Events learns it before people do. Keys that were added are no loss.
func TestALostSecondFactorKeyIsTold(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	sp := serviceProvider(ns)
	create(t, sp)
	_ = newPod(t, ns, "main")
	await(t, sp, "Ready", isTrue, "Serving")
	o.atRest(t)
	first := factorKeys(t, ns)

	o.stop()
	setFactorKeys(t, ns, "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8=\n"+first)
	o.restart()
	o.ranAgain(t, ns, "added")
	o.atRest(t)
	if events := told(t, sp, "SecondFactorKeyLost"); len(events) != 0 {
		t.Fatalf("a key above the old one is no loss: %+v", events)
	}

	o.stop()
	remove(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "main-second-factor"}})
	o.restart()
	awaitEvent(t, sp, corev1.EventTypeWarning, "SecondFactorKeyLost", "Secret main-second-factor was deleted or replaced", "key of the backup", "kubectl sso users reset-second-factor ADDRESS -n "+ns)
	if again := factorKeys(t, ns); strings.Contains(first, strings.TrimSpace(again)) {
		t.Error("no other key was made: this test shows nothing")
	}
	o.atRest(t)
	o.restart()
	o.ranAgain(t, ns, "after")
	awaitEvent(t, sp, corev1.EventTypeWarning, "SecondFactorKeyLost") // it is told once
	for _, event := range told(t, sp, "SecondFactorKeyLost") {
		if slices.ContainsFunc(strings.Fields(first), func(key string) bool { return strings.Contains(event.Note, key) }) {
			t.Error("the Event has the key")
		}
	}
	o.atRest(t)
}

func factorKeys(t *testing.T, ns string) string {
	t.Helper()
	var secret corev1.Secret
	if err := k8s.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "main-second-factor"}, &secret); err != nil {
		t.Fatal(err)
	}
	return string(secret.Data["keys"])
}

func setFactorKeys(t *testing.T, ns, keys string) {
	t.Helper()
	var secret corev1.Secret
	if err := k8s.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "main-second-factor"}, &secret); err != nil {
		t.Fatal(err)
	}
	secret.Data["keys"] = []byte(keys)
	update(t, &secret)
}

// ranAgain waits until an operator that was restarted has made a whole pass.
func (o *operator) ranAgain(t *testing.T, ns, name string) {
	t.Helper()
	idp := identityProvider(ns, name, inline(t))
	create(t, idp)
	await(t, idp, "Ready", isTrue, v1alpha1.ReasonServing)
}
