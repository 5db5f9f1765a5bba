// Command operator runs Sallyport's control plane: it turns the custom resources into running service providers.
package main

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/controllers"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/tracing"
	"sallyport.dev/sallyport/internal/trust"
	"sallyport.dev/sallyport/internal/version"
)

// gcPercent is how much garbage may gather before it is collected, in percent of what is in use. Go's 100 doubles the memory of a large directory for a processor that is idle.
const gcPercent = 40

type flags struct {
	image, namespace, metrics, health string
	namespaces, resolvers             list
	leaderElect, showVersion          bool
	allowPrivate, allowLoopback       bool
	logLevel                          slog.Level
}

// list is a flag of values with commas between them, or given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds the values.
func (l *list) Set(value string) error {
	for v := range strings.SplitSeq(value, ",") {
		if v = strings.TrimSpace(v); v != "" {
			*l = append(*l, v)
		}
	}
	return nil
}

func main() {
	var f flags
	flag.StringVar(&f.image, "service-provider-image", os.Getenv("SERVICE_PROVIDER_IMAGE"), "image of the service provider's pods; from SERVICE_PROVIDER_IMAGE")
	flag.StringVar(&f.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the operator itself; from POD_NAMESPACE")
	flag.StringVar(&f.metrics, "metrics-listen", ":8080", "address of the metrics; 0 for none")
	flag.StringVar(&f.health, "health-listen", ":8081", "address of /healthz and /readyz")
	flag.BoolVar(&f.leaderElect, "leader-elect", false, "enable leader election among replicas")
	flag.BoolVar(&f.allowPrivate, "allow-private-metadata", false, "let metadata be fetched from private networks")
	flag.BoolVar(&f.allowLoopback, "allow-loopback-metadata", false, "let metadata be fetched from this machine: for tests and demonstrations")
	flag.Var(&f.namespaces, "namespaces", "namespaces to watch, separated by commas; all if empty")
	flag.Var(&f.resolvers, "dns-resolver", "DNS servers for domain verification, host or host:port, separated by commas; those of /etc/resolv.conf if empty")
	flag.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flag.BoolVar(&f.showVersion, "version", false, "print the version and exit")
	flag.Parse()
	if f.showVersion {
		fmt.Println(version.String())
		return
	}
	// Audit records go to standard output, one JSON object a line; everything else to standard error.
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: f.logLevel})))
	if err := run(f); err != nil {
		ctrl.Log.Error(err, "the operator stopped")
		os.Exit(1)
	}
}

func run(f flags) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	limitMemory(os.Getenv)
	manager, err := newManager(f)
	if err != nil {
		return err
	}
	reconciler, err := newReconciler(f, manager)
	if err != nil {
		return err
	}
	metrics.Registry.MustRegister(buildInfo())
	ctx := ctrl.SetupSignalHandler()
	if reconciler.Tracer, err = tracing.FromEnvironment(ctx, "sallyport-operator", slog.New(logr.ToSlogHandler(ctrl.Log))); err != nil {
		return fmt.Errorf("the OTEL_* variables: %w", err)
	}
	defer reconciler.Tracer.Close()
	if err := reconciler.SetUp(manager); err != nil {
		return err
	}
	for _, add := range []func(string, healthz.Checker) error{manager.AddHealthzCheck, manager.AddReadyzCheck} {
		if err := add("ping", healthz.Ping); err != nil {
			return err
		}
	}
	return manager.Start(ctx)
}

func newManager(f flags) (ctrl.Manager, error) {
	objects := runtime.NewScheme()
	if err := scheme.AddToScheme(objects); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(objects); err != nil {
		return nil, err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, err
	}
	return ctrl.NewManager(config, ctrl.Options{
		Scheme:                        objects,
		Metrics:                       metricsserver.Options{BindAddress: f.metrics},
		HealthProbeBindAddress:        f.health,
		LeaderElection:                f.leaderElect,
		LeaderElectionID:              "sallyport-operator",
		LeaderElectionNamespace:       f.namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 ptr.To(controllers.LeaseDuration),
		RenewDeadline:                 ptr.To(controllers.RenewDeadline),
		RetryPeriod:                   ptr.To(controllers.RetryPeriod),
		GracefulShutdownTimeout:       ptr.To(5 * time.Second),
		Cache:                         controllers.CacheOptions(f.namespaces),
	})
}

func newReconciler(f flags, manager ctrl.Manager) (*controllers.Reconciler, error) {
	lookUp, err := controllers.ResolverOf(f.resolvers)
	if err != nil {
		return nil, err
	}
	return &controllers.Reconciler{
		Client:    manager.GetClient(),
		Live:      manager.GetAPIReader(),
		Events:    manager.GetEventRecorder("sallyport-operator"),
		Audit:     audit.NewStdout(os.Stdout, writerName(), clock.RealClock{}),
		Clock:     clock.RealClock{},
		Pods:      controllers.ManagementAddress,
		Fetcher:   trust.NewFetcher(trust.FetcherOptions{AllowPrivate: f.allowPrivate, AllowLoopback: f.allowLoopback, UserAgent: "sallyport/" + version.Version}),
		LookUpTXT: lookUp,
		Metrics:   metrics.Registry,
		Options:   controllers.Options{Image: f.image, Namespace: f.namespace, Namespaces: f.namespaces},
	}, nil
}

// buildInfo is the metric that says which build runs, as the service provider's does.
func buildInfo() prometheus.Collector {
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sso_build_info", Help: "1 for the build that runs.",
		ConstLabels: prometheus.Labels{"version": version.Version, "commit": version.Commit}})
	build.Set(1)
	return build
}

// writerName names this process in the audit log. A process starts a hash chain of its own.
func writerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "operator"
	}
	return fmt.Sprintf("%s/%d", host, time.Now().Unix())
}
