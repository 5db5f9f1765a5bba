package main

import (
	"context"
	"crypto/rsa"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

// restoreKeys puts a key pair for every IdentityProvider where it is after a restore from a backup. Making an RSA-3072 pair takes a quarter of a second of a processor,
// so that with 1,000 of them nothing else would be measured. A few keys are made, and every connection gets a certificate of its own.
func (s *scale) restoreKeys(ctx context.Context) error {
	policy := trust.KeyPolicy{Lifetime: v1alpha1.DefaultCertificateLifetime, RotationWindow: v1alpha1.DefaultRotationWindow, Overlap: v1alpha1.DefaultKeyOverlap}
	var made [4]*rsa.PrivateKey
	for i := range made {
		key, err := trust.NewRSAKey(nil)
		if err != nil {
			return err
		}
		made[i] = key
	}
	group, creating := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range s.idps {
		group.Go(func() error {
			now := time.Now()
			set, err := trust.PlanKeys(trust.KeySet{}, policy, trust.KeyWish{}, now).Apply(func() (snapshot.SPKey, error) {
				return trust.CertifySPKey(made[i%len(made)], now, compile.EntityID("https://sso.example.com", scaleIdP(i)), policy.Lifetime, nil)
			})
			if err != nil {
				return err
			}
			_, err = s.plane.client.CoreV1().Secrets(scaleNamespace).Create(creating, &corev1.Secret{Type: corev1.SecretTypeOpaque, Data: set.Data(),
				ObjectMeta: metav1.ObjectMeta{Name: "sallyport-keys-" + scaleIdP(i), Labels: render.Labels(scaleName)}}, metav1.CreateOptions{})
			return err
		})
	}
	return group.Wait()
}
