// Command demo puts the whole of Sallyport on a local Kubernetes, with an identity provider and an application to sign in to.
//
//	demo up      as `make demo`: everything, from nothing; run again, it brings everything up to date
//	demo down    as `make demo-down`: nothing is left
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"sallyport.dev/sallyport/hack/demo/edge"
	"sallyport.dev/sallyport/hack/demo/manifests"
	"sallyport.dev/sallyport/hack/demo/stage"
)

const (
	namespace = "sallyport-demo"
	listen    = "127.0.0.1:8443"
	domain    = "sallyport.localhost"
	port      = ":8443"
	ssoURL    = "https://sso." + domain + port
	appURL    = "https://app." + domain + port
	idpURL    = "https://idp." + domain + port
)

// edgeNamespace is where nginx is.
var edgeNamespace = manifests.World{Namespace: namespace}.EdgeNamespace()

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s, err := stage.New(".demo", os.Stdout)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "up":
		return up(ctx, s)
	case len(args) == 1 && args[0] == "down":
		return down(ctx, s)
	}
	return errors.New("usage: demo up|down")
}

func up(ctx context.Context, s *stage.Stage) error {
	if err := s.MakeAloud(ctx, "cluster-up"); err != nil {
		return fmt.Errorf("starting Kubernetes: %w", err)
	}
	world := manifests.World{Namespace: namespace, SSOURL: ssoURL, IdPURL: idpURL}
	var product string
	err := s.Step("Images", func() (string, error) {
		binary, err := s.BuildPods(ctx)
		if err != nil {
			return "", err
		}
		refs, loaded, err := s.Ship(ctx, stage.Sallyport(), stage.Pods(binary), stage.Nginx())
		if err != nil {
			return "", err
		}
		product, world.PodImage, world.NginxImage = refs[0], refs[1], refs[2]
		return fmt.Sprintf("%d of %d are new", loaded, len(refs)), nil
	})
	if err != nil {
		return err
	}
	steps := []struct {
		title string
		do    func() (string, error)
	}{
		{"Operator", func() (string, error) { return "", s.DeployOperator(ctx, product) }},
		{"Identity provider and application", func() (string, error) { return "", around(ctx, s, world) }},
		{"Sample objects, until every one is Ready", func() (string, error) { return "", samples(ctx, s) }},
		{"nginx at the edge, until the door answers", func() (string, error) { return "", door(ctx, s, world) }},
	}
	for _, step := range steps {
		if err := s.Step(step.title, step.do); err != nil {
			return err
		}
	}
	return tell(ctx, s)
}

// around applies the IdP and the application. Certificates are made once: the browser has been told to trust them.
func around(ctx context.Context, s *stage.Stage, world manifests.World) error {
	namespaces, err := world.Namespaces()
	if err != nil {
		return err
	}
	if _, err := s.Apply(ctx, namespaces); err != nil {
		return err
	}
	err = s.EnsureSecret(ctx, edgeNamespace, "demo-tls", func() (string, error) {
		authority, err := edge.NewAuthority("Sallyport demonstration on this machine")
		if err != nil {
			return "", err
		}
		pair, err := authority.Server("*."+domain, "demo-idp."+namespace+".svc.cluster.local")
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(s.Work, "ca.crt"), authority.PEM, 0o644); err != nil {
			return "", err
		}
		ca, err := manifests.Render("ca.yaml", map[string]any{"Namespace": namespace, "CA": string(authority.PEM)})
		if err != nil {
			return "", err
		}
		for _, namespace := range []string{world.Namespace, edgeNamespace} {
			secret, err := manifests.TLSSecret(namespace, "demo-tls", pair, authority.PEM)
			if err != nil {
				return "", err
			}
			ca += "---\n" + secret
		}
		return ca, nil
	})
	if err != nil {
		return err
	}
	err = s.EnsureSecret(ctx, namespace, "demo-idp-signing", func() (string, error) {
		pair, err := edge.NewSigningPair("Acme, an identity provider for demonstration")
		if err != nil {
			return "", err
		}
		return manifests.TLSSecret(namespace, "demo-idp-signing", pair, nil)
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"idp", "app"} {
		manifest, err := manifests.Render(name+".yaml", world)
		if err != nil {
			return err
		}
		if _, err := s.Apply(ctx, manifest); err != nil {
			return err
		}
	}
	for _, name := range []string{"demo-idp", "demo-app"} {
		if _, err := s.Kubectl(ctx, "rollout", "status", "-n", namespace, "deployment/"+name, "--timeout=120s"); err != nil {
			return err
		}
	}
	return nil
}

func samples(ctx context.Context, s *stage.Stage) error {
	if err := s.ApplyKustomization(ctx, "hack/demo/sso"); err != nil {
		return err
	}
	return s.WaitReady(ctx, namespace)
}

// door applies the edge and asks the application's page through it, as a browser would.
func door(ctx context.Context, s *stage.Stage, world manifests.World) error {
	page, err := os.ReadFile(filepath.Join(s.Root, "docs", "proxies", "nginx.md"))
	if err != nil {
		return err
	}
	world.EdgeFiles, err = edge.Files(page, edge.Site{
		Dir: edge.Folder, TLSDir: "/etc/nginx/tls/", Listen: listen, SSOHost: "sso." + domain, AppHost: "app." + domain,
		ServiceProvider: "main-sallyport." + namespace + ".svc.cluster.local:80", Application: "demo-app." + namespace + ".svc.cluster.local:80",
	})
	if err != nil {
		return err
	}
	world.EdgeFiles["nginx.conf"] = edge.Main(edge.Folder, "/tmp/", fmt.Sprintf(`
    server {
        listen %s ssl;
        server_name idp.%s;
        ssl_certificate     /etc/nginx/tls/tls.crt;
        ssl_certificate_key /etc/nginx/tls/tls.key;
        location / { proxy_pass https://demo-idp.%s.svc.cluster.local; }
    }`, listen, domain, namespace))
	manifest, err := manifests.Render("edge.yaml", world)
	if err != nil {
		return err
	}
	if _, err := s.Apply(ctx, manifest); err != nil {
		return err
	}
	if _, err := s.Kubectl(ctx, "rollout", "status", "-n", edgeNamespace, "deployment/demo-edge", "--timeout=120s"); err != nil {
		return err
	}
	if os.Getenv("CLUSTER") != "" {
		// The edge listens on the node's loopback, which is not this machine's then; what is printed at the end leads there.
		return nil
	}
	return untilSignIn(ctx, s)
}
