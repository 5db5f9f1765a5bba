package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var (
	domainBindings   = schema.GroupVersionResource{Group: "sso.sallyport.dev", Version: "v1alpha1", Resource: "domainbindings"}
	serviceProviders = schema.GroupVersionResource{Group: "sso.sallyport.dev", Version: "v1alpha1", Resource: "serviceproviders"}
)

const (
	scaleNamespace = "bench"
	scaleName      = "main"
	// writers is how many objects are created at a time, as a pipeline that applies a directory does.
	writers = 8
	// quiet is how long nothing may have been written before rest is measured, and restLength how long that takes.
	quiet, restLength = 10 * time.Second, time.Minute
)

// scale is one run: the real operator, with its own rights, on a real API server and etcd, and a real service provider that serves what it publishes.
type scale struct {
	options
	plane    *controlPlane
	client   dynamic.Interface
	ready    *readiness
	operator *peerProcess
	pod      *peerProcess
}

// scaleSuite measures the operator with as many objects as one ServiceProvider is made for.
func scaleSuite(ctx context.Context, o options) (results []Result, err error) {
	o.namespace, o.serviceProvider = scaleNamespace, scaleName
	s := &scale{options: o}
	if s.plane, err = startControlPlane(ctx); err != nil {
		return nil, err
	}
	defer s.stop()
	if s.client, err = dynamic.NewForConfig(s.plane.config); err != nil {
		return nil, err
	}
	if s.ready, err = watchReadiness(ctx, s.client, scaleNamespace, identityProviders, domainBindings, serviceProviders); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	for _, measure := range []func(context.Context) ([]Result, error){s.fromNothing, s.atRest, s.oneMore, s.afterRestart, startSuite} {
		more, err := measure(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range more {
			fmt.Fprintf(os.Stderr, "bench: %s: %s %s\n", r.Name, number(r.Value), r.Unit)
		}
		results = append(results, more...)
	}
	return results, nil
}

func (s *scale) stop() {
	for _, p := range []*peerProcess{s.operator, s.pod} {
		if p != nil {
			p.stop()
		}
	}
	s.plane.stop()
}

// begin has a ServiceProvider without connections Ready.
func (s *scale) begin(ctx context.Context) error {
	if _, err := s.plane.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: scaleNamespace}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := s.startOperator(); err != nil {
		return err
	}
	sp := object("ServiceProvider", scaleName, map[string]any{"url": "https://sso.example.com"})
	if err := s.apply(ctx, serviceProviders, sp); err != nil {
		return err
	}
	var err error
	if s.pod, err = s.plane.startPod(ctx, scaleNamespace, scaleName); err != nil {
		return err
	}
	_, err = s.ready.all(ctx, 2*time.Minute)
	return err
}

// startOperator runs it without a leader election: nothing here would start it again when a busy machine makes it miss its lease.
func (s *scale) startOperator() error {
	health, err := freeAddress()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.plane.file("operator.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(filepath.Join("bin", "operator"), "--metrics-listen", "0", "--health-listen", health)
	command.Env = append(os.Environ(), "KUBECONFIG="+s.plane.file("operator"), "SERVICE_PROVIDER_IMAGE=sallyport.dev/sallyport:bench", "POD_NAMESPACE="+operatorNamespace)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return fmt.Errorf("%w: make build makes it", err)
	}
	s.operator = &peerProcess{command: command}
	return nil
}

func object(kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "sso.sallyport.dev/v1alpha1", "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": scaleNamespace}, "spec": spec}}
}

// apply returns when the API server has taken the object, which is not Ready from then on until the operator says so.
func (s *scale) apply(ctx context.Context, kind schema.GroupVersionResource, o *unstructured.Unstructured) error {
	s.ready.expect(kind, o.GetName())
	_, err := s.client.Resource(kind).Namespace(scaleNamespace).Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "sallyport-bench", Force: true})
	return err
}

func scaleIdP(i int) string { return fmt.Sprintf("idp-%04d", i) }

func scaleBinding(i, idps int) *unstructured.Unstructured {
	return object("DomainBinding", fmt.Sprintf("domain-%05d", i), map[string]any{
		"domain": fmt.Sprintf("d%05d.example.com", i), "identityProviderRef": map[string]any{"name": scaleIdP(i % idps)}})
}

// fromNothing applies everything, as fast as the API server takes it.
func (s *scale) fromNothing(ctx context.Context) ([]Result, error) {
	keys := "the operator makes their keys"
	if !s.makeKeys {
		keys = "their keys are there"
		if err := s.restoreKeys(ctx); err != nil {
			return nil, err
		}
	}
	begin := time.Now()
	group, applying := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range s.idps {
		group.Go(func() error {
			idp, err := inlineProvider(s.options, scaleIdP(i))
			if err != nil {
				return err
			}
			return s.apply(applying, identityProviders, idp)
		})
	}
	for i := range s.bindings {
		group.Go(func() error { return s.apply(applying, domainBindings, scaleBinding(i, s.idps)) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	applied, cpu := time.Since(begin), s.operator.cpu()
	if _, err := s.ready.all(ctx, 30*time.Minute); err != nil {
		return nil, err
	}
	took := time.Since(begin)
	what := fmt.Sprintf("%d IdentityProviders and %d DomainBindings from nothing, and %s", s.idps, s.bindings, keys)
	return []Result{
		{Name: what + ": applied", Value: applied.Seconds(), Unit: "s"},
		{Name: what + ": all Ready", Value: took.Seconds(), Unit: "s"},
		{Name: "processor time of the operator after everything was applied", Value: (s.operator.cpu() - cpu).Seconds(), Unit: "s"},
		{Name: "operator, memory after that", Value: s.operator.memory() / 1e6, Unit: "MB"},
		{Name: "operator, most memory until then", Value: s.operator.peakMemory() / 1e6, Unit: "MB"},
		{Name: "service provider, memory with all of it", Value: s.pod.memory() / 1e6, Unit: "MB"},
	}, nil
}

// atRest counts what the operator asks of the API server while nobody changes anything.
func (s *scale) atRest(ctx context.Context) ([]Result, error) {
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Second) {
		r, err := s.plane.requestsSince(time.Now().Add(-quiet))
		if err != nil {
			return nil, err
		}
		if r.writes == 0 {
			break
		}
		if time.Now().After(deadline) {
			return nil, errors.New("the operator did not come to rest within 5 minutes")
		}
	}
	begin, cpu := time.Now(), s.operator.cpu()
	select {
	case <-time.After(restLength):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r, err := s.plane.requestsSince(begin)
	return []Result{
		{Name: "at rest: writes in a minute", Value: float64(r.writes), Unit: "requests"},
		{Name: "at rest: reads in a minute", Value: float64(r.reads), Unit: "requests"},
		{Name: "at rest: processor time in a minute", Value: (s.operator.cpu() - cpu).Seconds() * 1000, Unit: "ms"},
		{Name: "operator at rest, memory", Value: s.operator.memory() / 1e6, Unit: "MB"},
	}, err
}

// oneMore measures what somebody waits for who applies one object with everything in place.
func (s *scale) oneMore(ctx context.Context) ([]Result, error) {
	var idps, bindings []time.Duration
	for i := range s.applies {
		idp, err := inlineProvider(s.options, fmt.Sprintf("more-%03d", i))
		if err != nil {
			return nil, err
		}
		took, err := s.applyOne(ctx, identityProviders, idp)
		if err != nil {
			return nil, err
		}
		idps = append(idps, took)
		if took, err = s.applyOne(ctx, domainBindings, scaleBinding(s.bindings+i, s.idps)); err != nil {
			return nil, err
		}
		bindings = append(bindings, took)
	}
	return slices.Concat(quantiles("one more IdentityProvider, apply to Ready", idps), quantiles("one more DomainBinding, apply to Ready", bindings)), nil
}

func (s *scale) applyOne(ctx context.Context, kind schema.GroupVersionResource, o *unstructured.Unstructured) (time.Duration, error) {
	begin := time.Now()
	if err := s.apply(ctx, kind, o); err != nil {
		return 0, err
	}
	at, err := s.ready.all(ctx, time.Minute)
	return at.Sub(begin), err
}

func quantiles(name string, took []time.Duration) []Result {
	slices.Sort(took)
	return []Result{
		{Name: fmt.Sprintf("%s, p50 of %d", name, len(took)), Value: took[len(took)/2].Seconds(), Unit: "s"},
		{Name: fmt.Sprintf("%s, p99 of %d", name, len(took)), Value: took[len(took)*99/100].Seconds(), Unit: "s"},
	}
}

// afterRestart changes an object of each kind while there is no operator, and measures how long they wait once there is one again.
func (s *scale) afterRestart(ctx context.Context) ([]Result, error) {
	if err := s.operator.command.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	if err := s.operator.command.Wait(); err != nil {
		return nil, fmt.Errorf("the operator did not stop in order: %w", err)
	}
	idp, err := inlineProvider(s.options, scaleIdP(0))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.apply(ctx, identityProviders, idp), s.apply(ctx, domainBindings, scaleBinding(s.bindings+s.applies, s.idps))); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := s.startOperator(); err != nil {
		return nil, err
	}
	at, err := s.ready.all(ctx, 5*time.Minute)
	if err != nil {
		return nil, err
	}
	cpu := s.operator.cpu()
	time.Sleep(quiet)
	r, err := s.plane.requestsSince(begin)
	return []Result{
		{Name: "operator restarted: everything Ready, with what was changed meanwhile", Value: at.Sub(begin).Seconds(), Unit: "s"},
		{Name: "operator restarted: processor time until then", Value: cpu.Seconds(), Unit: "s"},
		{Name: "operator restarted: writes for it", Value: float64(r.writes), Unit: "requests"},
		{Name: "operator restarted: memory", Value: s.operator.memory() / 1e6, Unit: "MB"},
		{Name: "operator restarted: most memory", Value: s.operator.peakMemory() / 1e6, Unit: "MB"},
	}, err
}

// peakMemory is the most that the process has held, in bytes; 0 where /proc does not say.
func (p *peerProcess) peakMemory() float64 {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	_, after, _ := strings.Cut(string(content), "VmHWM:")
	var kilobytes float64
	_, _ = fmt.Sscan(after, &kilobytes)
	return kilobytes * 1024
}
