//go:build e2e

// Package e2e runs the product as pods on a real node, with SimpleSAMLphp as the identity provider, nginx as documented at the edge and a headless
// Chromium: what an admin types, what people see, and what the machine survives. `make e2e` starts the cluster and removes it.
package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"sallyport.dev/sallyport/hack/demo/stage"
)

// images are the references of what runs in pods.
var images struct{ product, pods, nginx, simpleSAMLphp, postgres string }

// ground is the checkout with its cluster.
var ground *stage.Stage

// operators are what the operator's pods write, from before they are there.
var operators *logbook

func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := prepare(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func prepare(ctx context.Context) (err error) {
	if ground, err = stage.New(".e2e", os.Stdout); err != nil {
		return err
	}
	if err := ground.Step("Images", func() (string, error) {
		binary, err := ground.BuildPods(ctx)
		if err != nil {
			return "", err
		}
		refs, loaded, err := ground.Ship(ctx, stage.Sallyport(), stage.Pods(binary), stage.Nginx(), simpleSAMLphpImage(), postgresImage())
		if err != nil {
			return "", err
		}
		images.product, images.pods, images.nginx, images.simpleSAMLphp, images.postgres = refs[0], refs[1], refs[2], refs[3], refs[4]
		return fmt.Sprintf("%d of %d are new", loaded, len(refs)), nil
	}); err != nil {
		return err
	}
	if operators, err = followLogs(context.Background(), operatorNamespace); err != nil {
		return err
	}
	return ground.Step("Operator, by Helm", func() (string, error) { return "", installChart(ctx) })
}

// simpleSAMLphpImage is Debian's package with its PHP, which reads the system's time zones.
func simpleSAMLphpImage() stage.Image {
	return stage.Image{Name: "sallyport.dev/e2e-simplesamlphp", Args: []string{
		"-with-libs", "-entrypoint", "/usr/bin/php8.2", "/usr/bin/php8.2", "/usr/lib/php", "/etc/php/8.2/cli", "/usr/share/simplesamlphp", "/etc/simplesamlphp/attributemap",
		"/usr/share/zoneinfo"}}
}

// postgresImage is Debian's package. initdb starts its server through a shell.
func postgresImage() stage.Image {
	return stage.Image{Name: "sallyport.dev/e2e-postgres", Args: []string{
		"-with-libs", "-entrypoint", "/usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/15/bin/initdb",
		"/usr/lib/postgresql/15/lib", "/usr/share/postgresql/15", "/usr/share/zoneinfo", "/usr/bin/dash=/bin/sh"}}
}
