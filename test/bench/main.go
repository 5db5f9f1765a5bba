// Command bench measures what people feel, each figure beside a peer in the same run, and prints tables.
// It judges nothing: the aims are in docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

type options struct {
	kubeconfig, namespace, serviceProvider string
	applies                                int
	duration                               time.Duration
	sessions                               int
	mix                                    time.Duration
	idps, bindings                         int
	makeKeys                               bool
}

type suite struct {
	name, title string
	run         func(context.Context, options) ([]Result, error)
}

var suites = []suite{
	{"authz", "Forward-auth check, over loopback, 16 connections", authzSuite},
	{"apply", "From kubectl apply to every pod serving it", applySuite},
	{"scale", "A large directory on a real API server", scaleSuite},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var o options
	// Not the flags of the process: what starts the API server brings some of its own.
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	out := flags.String("o", ".bench/results.json", "file to write the results to")
	chosen := suites
	flags.Func("only", "comma-separated suites to run; all when it is not given", func(names string) (err error) {
		chosen, err = named(names)
		return err
	})
	peer := flags.String("peer", "", "serve one of the peers instead of measuring; used by the benchmark itself")
	flags.StringVar(&o.kubeconfig, "kubeconfig", ".cluster/kubeconfig", "cluster that runs Sallyport")
	flags.StringVar(&o.namespace, "namespace", "sallyport-demo", "namespace of the ServiceProvider to add to")
	flags.StringVar(&o.serviceProvider, "service-provider", "main", "ServiceProvider to add to")
	flags.IntVar(&o.applies, "applies", 50, "how many IdentityProviders to apply")
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "length of one measurement of the check")
	flags.IntVar(&o.sessions, "sessions", 1_000_000, "sessions in the store while the check is measured, at least 21,002")
	flags.DurationVar(&o.mix, "mix", 0, "length of the suite mix, such as 10m; 0 leaves it out")
	flags.IntVar(&o.idps, "idps", 1000, "IdentityProviders of the suite scale")
	flags.IntVar(&o.bindings, "bindings", 5000, "DomainBindings of the suite scale")
	flags.BoolVar(&o.makeKeys, "make-keys", false, "let the operator make every key pair of the suite scale: four minutes of a processor for 1,000; otherwise they are there as from a backup")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if *peer != "" {
		return servePeer(*peer)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var all []Result
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "bench: %s\n", s.title)
		results, err := s.run(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if len(results) == 0 {
			continue
		}
		table(os.Stdout, s.title, results)
		all = append(all, results...)
	}
	return save(*out, all)
}

// named are the suites of a list, in their own order.
func named(list string) ([]suite, error) {
	wanted := strings.Split(list, ",")
	var known []string
	for _, s := range suites {
		known = append(known, s.name)
	}
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no suite %q: take some of %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(suites), func(s suite) bool { return !slices.Contains(wanted, s.name) }), nil
}
