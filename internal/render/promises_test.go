package render_test

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
)

// operatorPod is the pod of config/manager.
func operatorPod(t *testing.T) corev1.PodTemplateSpec {
	t.Helper()
	content, err := os.ReadFile("../../config/manager/operator.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var operator appsv1.Deployment
	if err := yaml.UnmarshalStrict(content, &operator); err != nil {
		t.Fatal(err)
	}
	return operator.Spec.Template
}

// TestPodsAreRestricted asks what the API server asks in a namespace with the label pod-security.kubernetes.io/enforce: restricted.
func TestPodsAreRestricted(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	each(t, func(t *testing.T, r rendered) {
		verdicts := judge.EvaluatePod(restricted, &r.template.ObjectMeta, &r.template.Spec)
		if verdict := policy.AggregateCheckResults(verdicts); !verdict.Allowed || len(verdicts) < 10 {
			t.Errorf("%d checks: %s", len(verdicts), verdict.ForbiddenDetail())
		}
	})
}

// TestNothingIsWrittenButTmpAndTheStore: the root file system is read-only, every mount but two is, and what a flag names is mounted.
func TestNothingIsWrittenButTmpAndTheStore(t *testing.T) {
	each(t, func(t *testing.T, r rendered) {
		c := r.container(t)
		if !ptr.Deref(c.SecurityContext.ReadOnlyRootFilesystem, false) {
			t.Error("the root file system is not read-only")
		}
		var volumes, mounted, writable []string
		for _, v := range r.template.Spec.Volumes {
			volumes = append(volumes, v.Name)
			if v.EmptyDir != nil && v.EmptyDir.SizeLimit == nil {
				t.Errorf("the volume %s may fill the node's disk", v.Name)
			}
		}
		for _, m := range c.VolumeMounts {
			mounted = append(mounted, m.Name)
			if !m.ReadOnly {
				writable = append(writable, m.MountPath)
			}
		}
		slices.Sort(volumes)
		slices.Sort(mounted)
		if !slices.Equal(volumes, mounted) {
			t.Errorf("the volumes are %v, and mounted are %v", volumes, mounted)
		}
		want := []string{"/tmp", "/data"}
		if r.sp.Spec.Store != nil && r.sp.Spec.Store.Postgres != nil {
			want = want[:1]
		}
		if !slices.Equal(writable, want) {
			t.Errorf("writable are %v, want %v", writable, want)
		}
		for _, argument := range c.Args {
			_, value, _ := strings.Cut(argument, "=")
			file := strings.TrimPrefix(value, "sqlite://")
			if strings.HasPrefix(file, "/") && !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == file || m.MountPath == path.Dir(file) }) {
				t.Errorf("nothing is mounted for %s", argument)
			}
		}
	})
}

// TestProbes: each is asked at the management port, and a store that is away takes nobody out of service.
func TestProbes(t *testing.T) {
	each(t, func(t *testing.T, r rendered) {
		c := r.container(t)
		for want, probe := range map[string]*corev1.Probe{"startup /healthz": c.StartupProbe, "liveness /healthz": c.LivenessProbe, "readiness /readyz?exclude=store": c.ReadinessProbe} {
			if probe == nil || probe.HTTPGet == nil {
				t.Fatalf("there is no probe %s", want)
			}
			if _, at, _ := strings.Cut(want, " "); probe.HTTPGet.Path != at || r.port(t, probe.HTTPGet.Port) != render.ManagementPort {
				t.Errorf("the probe %s asks %s of port %s", want, probe.HTTPGet.Path, probe.HTTPGet.Port.String())
			}
		}
		if startup := c.StartupProbe; startup.PeriodSeconds*startup.FailureThreshold < 60 {
			t.Errorf("a slow start is given %d seconds", startup.PeriodSeconds*startup.FailureThreshold)
		}
		// It fails readiness first, and serves on until every proxy has noticed.
		if grace := ptr.Deref(r.template.Spec.TerminationGracePeriodSeconds, 0); grace < 15 {
			t.Errorf("a pod has %d seconds to end", grace)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("a pod has no requests, or no limit of its memory: %v", c.Resources)
		}
	})
}

// TestTheProgramListensWhereItsPodSays: a port that nothing listens on is found by a name, and answers nobody.
func TestTheProgramListensWhereItsPodSays(t *testing.T) {
	each(t, func(t *testing.T, r rendered) {
		c := r.container(t)
		for flag, name := range map[string]string{"listen": "http", "management-listen": "management", "metrics-listen": "metrics", "grpc-listen": "grpc"} {
			if argument := fmt.Sprintf("--%s=:%d", flag, r.port(t, intstr.FromString(name))); !slices.Contains(c.Args, argument) {
				t.Errorf("the port %s is not where the program listens: %s is not among %v", name, argument, c.Args)
			}
		}
		if len(c.Ports) != 4 {
			t.Errorf("the container has the ports %v", c.Ports)
		}
	})
}

// TestEverySelectorSelectsThePods, and nobody else's.
func TestEverySelectorSelectsThePods(t *testing.T) {
	each(t, func(t *testing.T, r rendered) {
		r.selectsTheirs(t, "the workload", r.selector)
		r.selectsTheirs(t, "the Service", &metav1.LabelSelector{MatchLabels: r.service.Spec.Selector})
		r.selectsTheirs(t, "the NetworkPolicy", &r.policy.Spec.PodSelector)
		r.selectsTheirs(t, "the PodDisruptionBudget", r.budget.Spec.Selector)
		if len(r.template.Spec.TopologySpreadConstraints) == 0 {
			t.Error("nothing spreads the pods")
		}
		for _, c := range r.template.Spec.TopologySpreadConstraints {
			r.selectsTheirs(t, "the spread over "+c.TopologyKey, c.LabelSelector)
		}
		if pods := r.sp.Spec.Pods; pods != nil && pods.TopologySpreadConstraints != nil {
			return // the user's own
		}
		var keys []string
		for _, c := range r.template.Spec.TopologySpreadConstraints {
			if keys = append(keys, c.TopologyKey); c.WhenUnsatisfiable != corev1.ScheduleAnyway {
				t.Errorf("a cluster with one %s can run one pod only", c.TopologyKey)
			}
		}
		if !slices.Equal(keys, []string{corev1.LabelTopologyZone, corev1.LabelHostname}) {
			t.Errorf("the pods are spread over %v", keys)
		}
	})
}

// TestADrainTakesOnePodAtATime: all but one stay where there are several, and a single one does not hold the drain up.
func TestADrainTakesOnePodAtATime(t *testing.T) {
	several := 0
	each(t, func(t *testing.T, r rendered) {
		if r.replicas > 1 {
			several++
		}
		if r.budget.Spec.MinAvailable != nil || r.budget.Spec.MaxUnavailable == nil || *r.budget.Spec.MaxUnavailable != intstr.FromInt32(1) {
			t.Errorf("of %d pods the budget lets %v go", r.replicas, r.budget.Spec.MaxUnavailable)
		}
		if r.kind("StatefulSet") != nil && r.replicas != 1 {
			t.Errorf("%d pods open one SQLite file", r.replicas)
		}
	})
	if several == 0 {
		t.Error("no golden file has several pods")
	}
}

// TestTheNetworkPolicyAdmits everybody to what sign-ins, checks and scrapers use, and the operator alone to the management port.
func TestTheNetworkPolicyAdmits(t *testing.T) {
	each(t, func(t *testing.T, r rendered) {
		if !slices.Equal(r.policy.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) || len(r.policy.Spec.Egress) > 0 {
			t.Errorf("it is for %v", r.policy.Spec.PolicyTypes)
		}
		var everybody, operator []int32
		for _, rule := range r.policy.Spec.Ingress {
			if len(rule.Ports) == 0 {
				t.Error("a rule admits to every port")
			}
			for _, p := range rule.Ports {
				if len(rule.From) == 0 {
					everybody = append(everybody, r.port(t, *p.Port))
				} else {
					operator = append(operator, r.port(t, *p.Port))
				}
			}
			for _, from := range rule.From {
				if from.IPBlock != nil || from.NamespaceSelector == nil || from.PodSelector == nil {
					t.Fatalf("a rule admits %v", from)
				}
				namespace := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "sallyport-system"}}
				if pods, err := metav1.LabelSelectorAsSelector(from.PodSelector); err != nil || !pods.Matches(labels.Set(operatorPod(t).Labels)) || pods.Matches(labels.Set(r.template.Labels)) ||
					metav1.FormatLabelSelector(from.NamespaceSelector) != metav1.FormatLabelSelector(namespace) {
					t.Errorf("the management port is for %v of %v", from.PodSelector, from.NamespaceSelector)
				}
			}
		}
		slices.Sort(everybody)
		if !slices.Equal(everybody, []int32{render.PublicPort, render.MetricsPort, render.GRPCPort}) || !slices.Equal(operator, []int32{render.ManagementPort}) {
			t.Errorf("everybody is admitted to %v, and the operator to %v", everybody, operator)
		}
	})
}

// TestNothingLeadsToTheManagementPort: the Service has the public port and that of ext_authz, and whatever exposes it exposes the public one.
func TestNothingLeadsToTheManagementPort(t *testing.T) {
	each(t, func(t *testing.T, r rendered) {
		ports := map[string]int32{}
		for _, p := range r.service.Spec.Ports {
			ports[p.Name] = r.port(t, p.TargetPort)
		}
		if len(ports) != 2 || ports["http"] != render.PublicPort || ports["grpc"] != render.GRPCPort {
			t.Errorf("the Service leads to %v", ports)
		}
		for _, o := range append(r.kind("Ingress"), r.kind("HTTPRoute")...) {
			text, err := yaml.Marshal(o.Object["spec"])
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "name: "+r.service.Name+"\n") || strings.Count(string(text), "backend") != 1 {
				t.Errorf("%s does not lead to the Service alone:\n%s", o.GetKind(), text)
			}
		}
	})
}

// TestAPodReadsItsOwnSnapshotAndNothingElse in the API.
func TestAPodReadsItsOwnSnapshotAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, r rendered) {
		var names []string
		for _, file := range snapshot.FileNames() {
			names = append(names, snapshot.SecretName(r.sp.Name, file))
		}
		if len(r.role.Rules) != 1 || !slices.Equal(r.role.Rules[0].ResourceNames, names) || len(names) == 0 {
			t.Fatalf("the rules are %v", r.role.Rules)
		}
		rule := r.role.Rules[0]
		if !slices.Equal(rule.APIGroups, []string{""}) || !slices.Equal(rule.Resources, []string{"secrets"}) || !slices.Equal(rule.Verbs, []string{"get", "watch"}) {
			t.Errorf("a pod may %v %v of %v", rule.Verbs, rule.Resources, rule.APIGroups)
		}
		account := rbacv1.Subject{Kind: "ServiceAccount", Name: r.account.Name, Namespace: r.sp.Namespace}
		if !slices.Equal(r.binding.Subjects, []rbacv1.Subject{account}) || r.binding.RoleRef != (rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: r.role.Name}) ||
			r.template.Spec.ServiceAccountName != r.account.Name {
			t.Errorf("%s is bound to %v, and the pods run as %s", r.binding.RoleRef.Name, r.binding.Subjects, r.template.Spec.ServiceAccountName)
		}
	})
}

// TestObjectsGoWithTheirServiceProvider: each has it as its controller, but a volume that is to be retained, and the pods come after what they need.
func TestObjectsGoWithTheirServiceProvider(t *testing.T) {
	each(t, func(t *testing.T, r rendered) {
		var kinds []string
		for _, o := range r.objects {
			kinds = append(kinds, o.GetKind())
			if o.GetNamespace() != r.sp.Namespace || o.GetLabels()[render.LabelManagedBy] != render.ManagedBy || o.GetLabels()[render.LabelInstance] != r.sp.Name {
				t.Errorf("%s %s is in %q with the labels %v", o.GetKind(), o.GetName(), o.GetNamespace(), o.GetLabels())
			}
			store := r.sp.Spec.Store
			retained := o.GetKind() == "PersistentVolumeClaim" && (store == nil || store.SQLite == nil || store.SQLite.Reclaim != "Delete")
			if owner := metav1.GetControllerOf(o); (owner == nil) != retained || owner != nil && (owner.UID != r.sp.UID || owner.Kind != "ServiceProvider") {
				t.Errorf("%s %s is owned by %v", o.GetKind(), o.GetName(), owner)
			}
		}
		workload := slices.IndexFunc(kinds, func(kind string) bool { return kind == "Deployment" || kind == "StatefulSet" })
		for _, needed := range []string{"ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "PersistentVolumeClaim"} {
			if slices.Index(kinds, needed) > workload {
				t.Errorf("the pods come before their %s: %v", needed, kinds)
			}
		}
	})
}
