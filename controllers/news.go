package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
)

// news is something that has happened, to be told once: in the audit log, as an Event, or both.
type news struct {
	// key names it. After a crash the same news may be told again, and then has the same key: readers drop the repetition by it.
	key    string
	kind   string
	about  client.Object
	record *audit.Record
	event  *eventNote
}

// eventNote is an Event on the object that the news is about.
type eventNote struct {
	warning              bool
	reason, action, note string
}

// details are those of the operator's records. Certificates are named by their fingerprints; nothing in here is secret.
type details struct {
	// Transition is the key of the news.
	Transition string `json:"transition"`
	Message    string `json:"message,omitempty"`
	// Generations are the first and the last of those that a change is about, such as 4-7; empty: only that of the target.
	Generations string `json:"generations,omitempty"`
	// Updated names the settings that changed, as the service provider sees them; Before and After have those that are short.
	Updated []string          `json:"updated,omitempty"`
	Before  map[string]string `json:"before,omitempty"`
	After   map[string]string `json:"after,omitempty"`

	Domain           string `json:"domain,omitempty"`
	IdentityProvider string `json:"identityProvider,omitempty"`
	Winner           string `json:"winner,omitempty"`

	// Key is the ID of a key of the signed header.
	Key         string `json:"key,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	NotAfter    string `json:"notAfter,omitempty"`
	Phase       string `json:"phase,omitempty"`

	Revision string `json:"revision,omitempty"`
	Pods     int    `json:"pods,omitempty"`
}

// operator is the actor of what nobody asked for: time passed, a server answered.
var operator = audit.Actor{Kind: audit.ActorSystem, ID: "sallyport-operator"}

// key names news about an object.
func key(object client.Object, parts ...string) string {
	return keyOf(string(object.GetUID()), parts...)
}

func keyOf(uid string, parts ...string) string {
	sum := sha256.Sum256([]byte(uid + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// tell writes the records and emits the Events of news that were not told yet.
func (r *Reconciler) tell(ctx context.Context, s *scope, all []news) error {
	for _, n := range all {
		if s.wasTold(n.key) {
			continue
		}
		if n.record != nil {
			record := *n.record
			if record.Target.Kind == "" {
				record.Target = targetOf(n.kind, n.about)
			}
			d, _ := record.Details.(details)
			d.Transition = n.key
			record.Details, record.Time = d, s.now
			if err := r.Audit.Write(ctx, record); err != nil {
				return err
			}
			if err := s.queue(n.key, record); err != nil {
				return err
			}
		}
		if n.event != nil {
			eventType := corev1.EventTypeNormal
			if n.event.warning {
				eventType = corev1.EventTypeWarning
			}
			r.Events.Eventf(n.about, nil, eventType, n.event.reason, n.event.action, "%s", shortened(n.event.note))
		}
		s.markTold(n.key)
	}
	return nil
}

// shortened keeps a note within what an Event holds.
func shortened(note string) string {
	const most = 1000
	if len(note) <= most {
		return note
	}
	return strings.ToValidUTF8(note[:most], "") + "..."
}

func (s *scope) wasTold(key string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.memory.told[key]
}

func (s *scope) markTold(key string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.memory.told[key] = true
}

// actor is who made the last change of the spec: the user, when the admission policy that stamps the name is installed, and the field manager.
func actor(object client.Object) audit.Actor {
	a := audit.Actor{Kind: audit.ActorKubernetes, ID: object.GetAnnotations()[v1alpha1.AnnotationChangedBy]}
	var latest metav1.Time
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == "" && entry.Time != nil && !entry.Time.Before(&latest) && entry.Manager != ownerFinalizer {
			latest, a.Manager = *entry.Time, entry.Manager
		}
	}
	return a
}

func targetOf(kind string, object client.Object) audit.Target {
	return audit.Target{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName(), UID: string(object.GetUID()), Generation: object.GetGeneration()}
}
