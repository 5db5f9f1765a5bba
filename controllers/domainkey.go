package controllers

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// The values of TXT records are made from a key that comes back with the backup; see docs/decisions/0009-txt-records-that-survive.md.

const (
	domainKeyComponent = "domain-verification-key"
	domainKeyPurpose   = "makes the TXT records of domains"
	recordPrefix       = "_sallyport-challenge."
	valuePrefix        = "sallyport-verification="
)

// domainKeySecrets passes the Secrets with such keys: they are ours, and people bring them back.
var domainKeySecrets = predicate.NewPredicateFuncs(func(object client.Object) bool {
	return object.GetLabels()[render.LabelComponent] == domainKeyComponent
})

// challenge is what proves a domain to be the user's: one for each ServiceProvider and domain.
type challenge struct {
	record v1alpha1.VerificationRecord
	// former is the value that an earlier version asked for. It is made from the ServiceProvider's UID, which the API server alone gives, and is good for as long as
	// that one exists.
	former string
}

// challengeOf makes the challenge of a domain. The value has the place of the ServiceProvider in it: whoever copies the key of another one, or is told it, can make
// none of the other's values their own.
func challengeOf(sp *v1alpha1.ServiceProvider, key []byte, domain string) challenge {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join([]string{"sallyport domain verification", sp.Namespace, sp.Name, domain}, "\x00")))
	former := sha256.Sum256([]byte(string(sp.UID) + "\x00" + domain))
	return challenge{record: v1alpha1.VerificationRecord{RecordName: recordPrefix + domain, RecordValue: valueOf(mac.Sum(nil))}, former: valueOf(former[:])}
}

func valueOf(sum []byte) string {
	return valuePrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// resolveDomainKey reads the key, and makes it where there is none. It is read in every pass that needs it, so that one that somebody has restored counts at once; one that
// was deleted while the operator runs is written again as it was. A Secret that holds no key is for a person to mend, and until then the key that is known counts.
func (r *Reconciler) resolveDomainKey(ctx context.Context, s *scope) error {
	name, known := render.DomainKeySecretName(s.key.Name), s.memory.domainKey
	data, err := r.keepLastingKey(ctx, s.key.Namespace, s.key.Name, lastingKey{secret: name, file: render.DomainKeyFile, component: domainKeyComponent, purpose: domainKeyPurpose,
		make: func() (map[string][]byte, error) {
			if known != nil {
				return map[string][]byte{render.DomainKeyFile: encodeKey(known)}, nil
			}
			return makeKey(render.DomainKeyFile)()
		}})
	var key []byte
	if err == nil {
		if key, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(data[render.DomainKeyFile]))); err != nil || len(key) != 32 {
			err = blocked(v1alpha1.ReasonInvalid, time.Minute, "Secret %s, key %s: it is not 32 bytes in base64. Restore it from the backup; without one, delete the Secret.", name, render.DomainKeyFile)
		}
	}
	if err == nil {
		s.memory.domainKey = key
		err = r.noteKeys(ctx, s, name, []string{keyName(string(key))}, domainKeyReplaced(name))
	}
	s.domainKey = s.memory.domainKey
	if problem, ok := errors.AsType[*blockedError](err); ok && s.domainKey == nil {
		s.noDomainKey = problem.message
	}
	return s.block(err)
}

func domainKeyReplaced(secret string) eventNote {
	return eventNote{warning: true, reason: "DomainKeyReplaced", action: "Check",
		note: fmt.Sprintf("Secret %s was deleted or replaced: the TXT record of each domain that asks for proof has another value than before, and the domain is held until that is there. "+
			"Restore the Secret from the backup, and the values of before are good again; otherwise status.verification of each DomainBinding says what to write.", secret)}
}
