package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cli/cluster"
)

// lookEvery is how often an object is read while something is waited for.
const lookEvery = 500 * time.Millisecond

// annotationTrigger is a command that sets an annotation for the operator and waits for what comes of it.
type annotationTrigger[O client.Object] struct {
	annotation string
	// find reads the object that the command is about.
	find func(ctx context.Context, k *cluster.Cluster, args []string) (O, error)
	// waiting is what the terminal shows meanwhile, late what is said when it takes too long: of the timeout, the object and its namespace.
	waiting, late string
	// begins refuses what cannot work; done says from the object before and now whether the operator has done it.
	begins func(object O) error
	done   func(before, now O) bool
	// outcome is the line to print, and whether it is good.
	outcome func(object O) (string, bool)
}

func triggerCommand[O client.Object](a *app, c *cobra.Command, n annotationTrigger[O]) *cobra.Command {
	var timeout time.Duration
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the outcome; 0 does not wait")
	c.RunE = func(command *cobra.Command, args []string) error {
		if timeout < 0 {
			return fmt.Errorf("--timeout %s: write a duration from 0, such as 30s", timeout)
		}
		ctx := command.Context()
		k, err := a.connect()
		if err != nil {
			return err
		}
		before, err := n.find(ctx, k, args)
		if err != nil {
			return err
		}
		if n.begins != nil {
			if err := n.begins(before); err != nil {
				return err
			}
		}
		name, now := nameOf(before), before.DeepCopyObject().(O)
		if err := k.Annotate(ctx, now, n.annotation, time.Now().UTC().Format(time.RFC3339Nano)); err != nil {
			return err
		}
		if timeout == 0 {
			_, err := fmt.Fprintf(command.OutOrStdout(), "%s: requested\n", name)
			return err
		}
		p := newProgress(command.ErrOrStderr())
		p.show(n.waiting, name)
		err = wait.PollUntilContextTimeout(ctx, lookEvery, timeout, true, func(context.Context) (bool, error) {
			now, err = n.find(ctx, k, args)
			return err == nil && n.done(before, now), err
		})
		p.done()
		if wait.Interrupted(err) && ctx.Err() == nil {
			return fmt.Errorf("%s: "+n.late, name, timeout, name, k.Namespace)
		}
		if err != nil {
			return err
		}
		text, good := n.outcome(now)
		if _, err := fmt.Fprintf(command.OutOrStdout(), "%s: %s\n", name, clean(text)); err != nil {
			return err
		}
		if !good {
			return errFindings
		}
		return nil
	}
	return c
}

// nameOf is an object as people type it.
func nameOf(object client.Object) string {
	if _, ok := object.(*v1alpha1.ServiceProvider); ok {
		return "sp/" + object.GetName()
	}
	return "idp/" + object.GetName()
}

// triggerOnIdP is a trigger on the IdentityProvider that is the argument.
func (a *app) triggerOnIdP(c *cobra.Command, n annotationTrigger[*v1alpha1.IdentityProvider]) *cobra.Command {
	c.Args = exactly("an IdentityProvider (idp/NAME)")
	n.find = func(ctx context.Context, k *cluster.Cluster, args []string) (*v1alpha1.IdentityProvider, error) {
		return k.IdentityProvider(ctx, args[0])
	}
	return triggerCommand(a, c, n)
}

// triggerOnServiceProvider is a trigger on the ServiceProvider that the flag names, or on the only one.
func (a *app) triggerOnServiceProvider(c *cobra.Command, n annotationTrigger[*v1alpha1.ServiceProvider]) *cobra.Command {
	c.Args = exactly()
	a.pickServiceProvider(c.Flags())
	n.find = func(ctx context.Context, k *cluster.Cluster, _ []string) (*v1alpha1.ServiceProvider, error) {
		return k.ServiceProvider(ctx, a.serviceProvider)
	}
	return triggerCommand(a, c, n)
}

func (a *app) refreshCommand() *cobra.Command {
	return a.triggerOnIdP(&cobra.Command{
		Use: "refresh idp/NAME", Short: "Fetch an IdP's metadata now",
		Long:    "Fetch an IdP's metadata now instead of at the next scheduled time, and say what came of it. The last good copy is served meanwhile, and after a failure. Exit code 1: the fetch failed.",
		Example: "  kubectl sso refresh idp/okta",
	}, annotationTrigger[*v1alpha1.IdentityProvider]{
		annotation: v1alpha1.AnnotationRefresh, waiting: "fetching the metadata of %s",
		late: "requested, but nothing was fetched within %s: see `kubectl describe %s -n %s`, and check that the operator is running",
		begins: func(idp *v1alpha1.IdentityProvider) error {
			if idp.Spec.SAML.Metadata.URL == "" {
				return fmt.Errorf("idp/%s has no spec.saml.metadata.url: what it trusts is in the object, a ConfigMap or a Secret, and takes effect as soon as that changes", idp.Name)
			}
			return nil
		},
		done: func(before, now *v1alpha1.IdentityProvider) bool {
			b, n := before.Status.Metadata, now.Status.Metadata
			if n == nil || n.NextRefresh == nil {
				return false
			}
			return b == nil || !n.NextRefresh.Equal(b.NextRefresh) || !n.LastFetched.Equal(b.LastFetched)
		},
		outcome: func(idp *v1alpha1.IdentityProvider) (string, bool) {
			fresh := meta.FindStatusCondition(idp.Status.Conditions, v1alpha1.ConditionMetadataFresh)
			if fresh == nil {
				return "nothing is known of its metadata", false
			}
			return fresh.Message, fresh.Status == metav1.ConditionTrue
		},
	})
}

func (a *app) rotateCommand() *cobra.Command {
	c := a.triggerOnIdP(&cobra.Command{
		Use: "rotate idp/NAME", Short: "Start rotating the SP key of a connection",
		Long: `Start rotating the service provider's key of a connection. The new certificate is published first and signs only after
spec.saml.keys.overlap, so that the IdP has time to read it; the old key decrypts for as long again. Sign-in keeps working meanwhile.`,
		Example: "  kubectl sso rotate idp/okta",
	}, annotationTrigger[*v1alpha1.IdentityProvider]{
		annotation: v1alpha1.AnnotationRotateKeys, waiting: "creating the next key of %s",
		begins: func(idp *v1alpha1.IdentityProvider) error {
			for _, c := range ours(idp) {
				if c.Phase == v1alpha1.KeyPhaseNext {
					return fmt.Errorf("idp/%s is rotating already: the next certificate (SHA-256 %s) is published and signs when spec.saml.keys.overlap is over; see docs/guides/certificates.md", idp.Name, c.SHA256)
				}
			}
			return nil
		},
		late: "requested, but no new certificate was published within %s: see `kubectl describe %s -n %s`, and check that the operator is running",
		done: func(before, now *v1alpha1.IdentityProvider) bool { return newest(now, before) != nil },
		outcome: func(idp *v1alpha1.IdentityProvider) (string, bool) {
			for _, c := range ours(idp) {
				if c.Phase == v1alpha1.KeyPhaseNext {
					return fmt.Sprintf("the next certificate (SHA-256 %s, until %s) is published at %s. It signs when spec.saml.keys.overlap is over",
						c.SHA256, c.NotAfter.UTC().Format(time.DateOnly), idp.Status.ServiceProvider.MetadataURL), true
				}
			}
			return "a new key signs now", true
		},
	})
	c.AddCommand(a.rotateAuditKeyCommand(), a.rotateHeaderKeyCommand())
	return c
}

func ours(idp *v1alpha1.IdentityProvider) []v1alpha1.ConnectionCertificate {
	if idp.Status.ServiceProvider == nil {
		return nil
	}
	return idp.Status.ServiceProvider.Certificates
}

// newest is a certificate of ours that was not there before.
func newest(now, before *v1alpha1.IdentityProvider) *v1alpha1.ConnectionCertificate {
	known := map[string]bool{}
	for _, c := range ours(before) {
		known[c.SHA256] = true
	}
	for _, c := range ours(now) {
		if !known[c.SHA256] {
			return &c
		}
	}
	return nil
}
