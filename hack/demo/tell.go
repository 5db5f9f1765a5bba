package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"sallyport.dev/sallyport/hack/demo/idp"
	"sallyport.dev/sallyport/hack/demo/stage"
)

// untilSignIn asks for the application's page until the door answers with the way to sign in, over TLS that the demonstration's authority vouches for.
func untilSignIn(ctx context.Context, s *stage.Stage) error {
	ca, err := s.Kubectl(ctx, "get", "configmap", "-n", namespace, "demo-ca", "-o", `jsonpath={.data.ca\.crt}`)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	client := &http.Client{
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots},
			// Browsers resolve *.localhost to this machine; not every resolver does.
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, listen)
			},
		},
	}
	problem := error(nil)
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, appURL+"/", nil)
		if err != nil {
			return err
		}
		request.Header.Set("Accept", "text/html")
		response, err := client.Do(request)
		if err != nil {
			problem = err
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusFound && strings.HasPrefix(response.Header.Get("Location"), ssoURL+"/signin?rd=") {
			return nil
		}
		problem = fmt.Errorf("%s answers %s, not the way to sign in", appURL, response.Status)
	}
	return problem
}

// tell says what there is now, and what to try.
func tell(ctx context.Context, s *stage.Stage) error {
	state, err := s.Kubectl(ctx, "get", "sso", "-n", namespace)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "\n%s\nReady after %s.\n\n", state, s.Elapsed().Round(time.Second))
	if os.Getenv("CLUSTER") != "" {
		fmt.Fprintf(s.Out, "First, and leave it running:\n\n    kubectl -n %s port-forward deployment/demo-edge 8443:8443\n\n", edgeNamespace)
	}
	alice, bob := idp.Accounts[0], idp.Accounts[1]
	kubectl := s.KubectlPath()
	fmt.Fprintf(s.Out, `Open      %[1]s   (your browser asks once about the certificate: its authority is .demo/ca.crt)
Address   %[2]s      at the identity provider: %[3]s / %[4]s
or        %[5]s        at the identity provider: %[6]s / %[7]s

From a terminal:

    export KUBECONFIG=%[8]s
    alias k='%[9]s -n %[10]s'

Try next:

    k get events --watch                                               # what happens, as it happens
    k describe idp acme                                                # what is trusted, until when, and what the other side needs
    make build && bin/kubectl-sso status -n %[10]s             # everything as a tree, what needs attention first
    k edit attributemapping acme                                       # add groups to a rule, then sign in again; break an example and see it refused
    k delete idp acme                                                  # refused: acme.example is still bound to it
    k patch idp acme --type=merge -p '{"spec":{"state":"Disabled"}}'   # every session of it ends within seconds; Enabled brings it back
    open %[11]s/saml/acme                # the page for the administrator of the other side

make demo brings it up to date after a change of the code; make demo-down removes every trace.
`, appURL, alice.Email, alice.Name, alice.Password, bob.Email, bob.Name, bob.Password, s.Kubeconfig(), kubectl, namespace, ssoURL)
	return nil
}

// down removes everything: with the node of its own that is the node, elsewhere what up applied.
func down(ctx context.Context, s *stage.Stage) error {
	if os.Getenv("CLUSTER") != "" {
		if err := s.Step("The demonstration's objects", func() (string, error) {
			_, err := s.Kubectl(ctx, "delete", "namespace", namespace, edgeNamespace, "--ignore-not-found", "--timeout=120s")
			return "", err
		}); err != nil {
			return err
		}
		if err := s.Step("The operator and its kinds", func() (string, error) {
			_, err := s.Kubectl(ctx, "delete", "--ignore-not-found", "-k", s.Root+"/config/default", "--timeout=120s")
			return "", err
		}); err != nil {
			return err
		}
	}
	if err := s.MakeAloud(ctx, "cluster-down"); err != nil {
		return err
	}
	return os.RemoveAll(s.Work)
}
