package source

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"sallyport.dev/sallyport/internal/snapshot"
)

var secretResource = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// errNewerIndex says that a shard belongs to an index that has not come yet: the watch brings it.
var errNewerIndex = errors.New("a shard is ahead of the index, whose change is still on its way")

// Secrets follows the snapshot in the Secrets of one ServiceProvider. It watches the index alone, which is written last,
// and gets the shards that changed. It needs get and watch on those names and nothing else.
type Secrets struct {
	secrets dynamic.ResourceInterface
	sp      string
	log     *slog.Logger
	// files is what was read last, by file name.
	files   map[string][]byte
	decoder snapshot.Decoder
	live    atomic.Bool
}

// NewSecrets follows <serviceProvider>-snapshot-* in a namespace.
func NewSecrets(client dynamic.Interface, namespace, serviceProvider string, log *slog.Logger) *Secrets {
	return &Secrets{secrets: client.Resource(secretResource).Namespace(namespace), sp: serviceProvider, log: log.With("source", "secrets"), files: map[string][]byte{}}
}

// Live says whether a snapshot has come from the API server. From then on it is the newer one: a mounted copy lags by up to a minute.
func (s *Secrets) Live() bool { return s.live.Load() }

// Follow applies every snapshot until ctx ends. While the API server is away it tries again, first at once and then about every ten seconds.
func (s *Secrets) Follow(ctx context.Context, apply Apply) {
	backoff := newBackoff()
	for ctx.Err() == nil {
		started := time.Now()
		if err := s.round(ctx, apply); err != nil && ctx.Err() == nil {
			s.log.Warn("following the snapshot Secrets; the last good snapshot stays", "error", err)
		}
		if time.Since(started) > time.Minute {
			backoff = newBackoff()
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff.Step()):
		}
	}
}

func newBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.3, Steps: 8, Cap: 10 * time.Second}
}

// round reads once and then watches until the watch ends.
func (s *Secrets) round(ctx context.Context, apply Apply) error {
	name := snapshot.SecretName(s.sp, snapshot.IndexFile)
	index, err := s.secrets.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("the Secret %s: %w", name, err)
	}
	if err := s.take(ctx, index, apply); err != nil && !errors.Is(err, errNewerIndex) {
		return err
	}
	events, err := s.secrets.Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String(), ResourceVersion: index.GetResourceVersion(), AllowWatchBookmarks: true,
	})
	if err != nil {
		return fmt.Errorf("watching Secret %s: %w", name, err)
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		switch event.Type {
		case watch.Added, watch.Modified:
			// One change may follow another faster than shards can be read: the index that a shard is ahead of comes in this very watch.
			if err := s.take(ctx, event.Object.(*unstructured.Unstructured), apply); err != nil && !errors.Is(err, errNewerIndex) {
				return err
			}
		case watch.Error:
			return fmt.Errorf("watching Secret %s: %w", name, apierrors.FromObject(event.Object))
		}
	}
	return nil
}

// take decodes the snapshot of an index and applies it. Shards come from what was read before and are read again where they do not match the index.
func (s *Secrets) take(ctx context.Context, index *unstructured.Unstructured, apply Apply) error {
	content, err := file(index, snapshot.IndexFile)
	if err != nil {
		return err
	}
	s.files[snapshot.IndexFile] = content
	fresh := map[string]bool{}
	for {
		decoded, revision, err := s.decoder.FromFiles(s.files)
		incomplete, ok := errors.AsType[*snapshot.IncompleteError](err)
		switch {
		case err == nil:
			// A snapshot that cannot be served is reported where it is compiled; reading it again would not help.
			if apply(decoded, revision) == nil {
				s.live.Store(true)
			}
			return nil
		case !ok:
			return err
		case fresh[incomplete.File]:
			return errNewerIndex
		}
		if err := s.get(ctx, incomplete.File); err != nil {
			return err
		}
		fresh[incomplete.File] = true
	}
}

func (s *Secrets) get(ctx context.Context, name string) error {
	secret, err := s.secrets.Get(ctx, snapshot.SecretName(s.sp, name), metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("the Secret %s: %w", snapshot.SecretName(s.sp, name), err)
	}
	content, err := file(secret, name)
	if err != nil {
		return err
	}
	s.files[name] = content
	return nil
}

// file takes one value out of a Secret, where it stands in base64.
func file(secret *unstructured.Unstructured, name string) ([]byte, error) {
	encoded, found, err := unstructured.NestedString(secret.Object, "data", name)
	if err != nil || !found {
		return nil, fmt.Errorf("the Secret %s has no key %s: %w", secret.GetName(), name, fs.ErrNotExist)
	}
	return base64.StdEncoding.DecodeString(encoded)
}
