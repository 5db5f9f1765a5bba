package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// What a lasting key has encrypted is lost with it, and a Secret that was deleted while the operator was down is made anew. So the ledger, which is in the operator's
// own namespace, keeps the names of the keys that there were.

// keyName names a secret key. It is a hash of something with 256 random bits, so that nobody learns the key from it.
func keyName(key string) string {
	sum := sha256.Sum256([]byte("sallyport key name\x00" + key))
	return hex.EncodeToString(sum[:8])
}

// noteKeys keeps the names of the keys in a Secret, and tells when one is not there any more that was when this ServiceProvider's keys were read last. The first ones are
// no news.
func (r *Reconciler) noteKeys(ctx context.Context, s *scope, secret string, names []string, lost eventNote) error {
	l := s.memory.ledger
	before := l.Keys[secret]
	if slices.Equal(before, names) {
		return nil
	}
	if slices.ContainsFunc(before, func(name string) bool { return !slices.Contains(names, name) }) {
		n := news{key: key(s.serviceProvider, append([]string{"keys", secret}, names...)...), kind: v1alpha1.KindServiceProvider, about: s.serviceProvider, event: &lost}
		if err := r.tell(ctx, s, []news{n}); err != nil {
			return err
		}
	}
	l.Keys[secret], l.dirty = names, true
	return nil
}

// noteFactorKeys is noteKeys for those that encrypt second factors, one a line.
func (r *Reconciler) noteFactorKeys(ctx context.Context, s *scope, data map[string][]byte) error {
	var names []string
	for _, line := range strings.Fields(string(data[render.FactorKeyFile])) {
		names = append(names, keyName(line))
	}
	secret := render.FactorSecretName(s.key.Name)
	return r.noteKeys(ctx, s, secret, names, eventNote{warning: true, reason: "SecondFactorKeyLost", action: "Check",
		note: fmt.Sprintf("A key that encrypted second factors is not there any more: Secret %s was deleted or replaced, and nobody can use a factor or a recovery code of that key. Put the key of the "+
			"backup into the Secret, on a line of its own below the one that is there, and restart the pods. Without a backup, every such person has to be reset: "+
			"kubectl sso users reset-second-factor ADDRESS -n %s", secret, s.key.Namespace)})
}
