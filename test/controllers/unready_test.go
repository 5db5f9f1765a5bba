package controllers

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// TestDescribeSaysWhyNoPodIsReady: nobody has to go from the ServiceProvider to its pods, and from there to their events.
func TestDescribeSaysWhyNoPodIsReady(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	sp := serviceProvider(ns)
	create(t, sp, identityProvider(ns, "okta", inline(t)))
	await(t, sp, "Ready", isFalse, "NoReadyPods")
	p := podObject(t, ns, "main")
	waiting := func(reason, message string, restarts int32) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "service-provider", Image: "registry.example.com/sallyport:1", RestartCount: restarts,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
	}
	running := waiting("", "", 3)
	running.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	for _, c := range []struct {
		name   string
		status corev1.PodStatus
		says   string
	}{
		{"no node", corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable",
			Message: "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available: 3 No preemption victims found."}}},
			"No pod is ready. Pod " + p.Name + " cannot be scheduled: 0/3 nodes are available: 3 Insufficient memory."},
		{"no image", waiting("ErrImagePull", "failed to resolve", 0), "cannot pull image registry.example.com/sallyport:1: correct it where the operator was installed, or set spec.pods.imagePullSecrets."},
		{"no image, a moment later", waiting("ImagePullBackOff", "Back-off pulling image", 0), "cannot pull image registry.example.com/sallyport:1"},
		{"no configuration", waiting("CreateContainerConfigError", "container has runAsNonRoot\nand image will run as root", 0),
			"cannot start (CreateContainerConfigError): container has runAsNonRoot and image will run as root."},
		{"it ends", waiting("CrashLoopBackOff", "back-off 10s restarting failed container", 3), "keeps restarting: kubectl -n " + ns + " logs " + p.Name + " --previous"},
		{"it is restarted", running, "keeps restarting"},
	} {
		p.Status = c.status
		if err := k8s.Status().Update(t.Context(), p.Pod); err != nil {
			t.Fatal(err)
		}
		eventually(t, c.name+": "+c.says, func() bool {
			get(t, sp)
			return strings.Contains(message(t, sp, v1alpha1.ConditionAvailable), c.says) && strings.Contains(message(t, sp, v1alpha1.ConditionReady), c.says)
		})
	}
	// The connection leads there.
	mustContain(t, kubectl(t, "-n", ns, "describe", "idp/okta"), "No pod is ready: kubectl -n "+ns+" describe sp main")
	mustContain(t, kubectl(t, "-n", ns, "describe", "sp/main"), "keeps restarting")
}

// TestAPodThatChangesWakesTheOperatorAtRest: nothing else asks for a pass then.
func TestAPodThatChangesWakesTheOperatorAtRest(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	sp := serviceProvider(ns)
	create(t, sp)
	p := newPod(t, ns, "main")
	await(t, sp, "Ready", isTrue, "Serving")
	o.atRest(t)
	p.setReady(t, false)
	await(t, sp, "Ready", isFalse, "NoReadyPods")
	o.atRest(t)
	p.setReady(t, true)
	await(t, sp, "Ready", isTrue, "Serving")
}

// TestDescribeNamesTheSecretOfTheDatabase: a pod whose volume is a Secret that is missing waits for it without a word.
func TestDescribeNamesTheSecretOfTheDatabase(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	sp := serviceProvider(ns)
	sp.Spec.Store = &v1alpha1.Store{Postgres: &v1alpha1.PostgresStore{ConnectionSecretRef: v1alpha1.SecretKeyReference{Name: "sso-db"}}}
	create(t, sp)
	mustContain(t, await(t, sp, "Ready", isFalse, "NoReadyPods"), "No pod is ready. spec.store.postgres.connectionSecretRef: there is no Secret sso-db in this namespace: create it, or correct the name.")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "sso-db"}, Data: map[string][]byte{"url": []byte("postgres://x")}}
	create(t, secret)
	pod := podObject(t, ns, "main") // somebody tells the operator to look again
	eventually(t, "it names the key", func() bool {
		get(t, sp)
		return strings.Contains(message(t, sp, v1alpha1.ConditionAvailable), "Secret sso-db has no key uri: add it, or name another key.")
	})
	secret.Data = map[string][]byte{"uri": []byte("postgres://x")}
	update(t, secret)
	remove(t, pod.Pod)
	eventually(t, "nothing is wrong with it any more", func() bool {
		get(t, sp)
		return strings.Contains(message(t, sp, v1alpha1.ConditionAvailable), "describe pods,deployments,statefulsets -l "+render.LabelInstance+"=main")
	})
}

// TestDescribeNamesALostKey: nobody but the operator makes those Secrets, and a pod waits for one that is gone without a word.
func TestDescribeNamesALostKey(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	sp := serviceProvider(ns)
	create(t, sp)
	p := newPod(t, ns, "main")
	await(t, sp, "Ready", isTrue, "Serving")
	for name, purpose := range map[string]string{"main-audit": "signs the audit log", "main-second-factor": "encrypts second factors"} {
		var saved corev1.Secret
		if err := k8s.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, &saved); err != nil {
			t.Fatal(err)
		}
		remove(t, &saved)
		p.setReady(t, false)
		says := "No pod is ready. There is no Secret " + name + " any more, whose key " + purpose + ": restore it from the backup."
		eventually(t, says, func() bool { get(t, sp); return message(t, sp, v1alpha1.ConditionAvailable) == says })
		create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Data: saved.Data})
		p.setReady(t, true)
		await(t, sp, "Ready", isTrue, "Serving")
		p.setReady(t, false)
		eventually(t, "nothing is wrong with the keys any more", func() bool {
			get(t, sp)
			return strings.Contains(message(t, sp, v1alpha1.ConditionAvailable), "describe pods")
		})
		p.setReady(t, true)
		await(t, sp, "Ready", isTrue, "Serving")
	}
	o.atRest(t)
}

// message is what a condition says now; empty when it is not there.
func message(t *testing.T, object client.Object, conditionType string) string {
	t.Helper()
	if c := meta.FindStatusCondition(conditionsOf(t, object), conditionType); c != nil {
		return c.Message
	}
	return ""
}

// TestCountsAreOfWhatIsInOrder: kubectl get sso does not count what nobody can sign in through.
func TestCountsAreOfWhatIsInOrder(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	other := serviceProvider(ns)
	other.Name, other.Spec.URL = "other", "https://sso.example.org"
	garbage := identityProvider(ns, "garbage", v1alpha1.MetadataSource{Inline: "<html/>"})
	create(t, serviceProvider(ns), other, identityProvider(ns, "okta", inline(t)), garbage, domainBinding(ns, "acme", "acme.example", "okta"), domainBinding(ns, "lost", "lost.example", "nobody"))
	mustContain(t, await(t, garbage, "Ready", isFalse, "Invalid"), "is a web page", "copy the XML itself")
	eventually(t, "one of each is counted, and none of the other ServiceProvider", func() bool {
		out := kubectl(t, "-n", ns, "get", "sp", "--no-headers", "-o", "custom-columns=N:.metadata.name,I:.status.identityProviders,D:.status.domainBindings")
		return strings.Join(strings.Fields(out), " ") == "main 1 1 other 0 0"
	})
}
