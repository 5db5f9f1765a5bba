// Package source brings snapshots to the service provider: from a directory, where they are mounted or were written by hand, and from the
// API server, where a change shows at once. What cannot be read is reported and changes nothing: the last good snapshot stays in service.
package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/snapshot"
)

// Apply takes a snapshot into service, or says why it cannot.
type Apply func(s snapshot.Snapshot, revision string) error

// PollInterval is how often a directory is looked at. It costs a stat per file.
const PollInterval = 250 * time.Millisecond

// Directory follows the snapshot in a directory of flat files, as snapshot.Read reads it.
type Directory struct {
	path  string
	clock clock.WithTicker
	log   *slog.Logger
	seen  string
	// served is the revision last applied, failed the last error, so that each is logged once.
	served, failed string
}

// NewDirectory follows the files in path. Kubernetes swaps a mounted Secret by renaming a symbolic link, which shows as a change of what the names stand for.
func NewDirectory(path string, c clock.WithTicker, log *slog.Logger) *Directory {
	return &Directory{path: path, clock: c, log: log.With("source", "directory"), seen: "never"}
}

// Load reads the directory once if it changed since the last call that succeeded, and applies it.
func (d *Directory) Load(apply Apply) error {
	now := d.signature()
	if now == d.seen {
		return nil
	}
	s, revision, err := snapshot.Read(os.DirFS(d.path))
	if err == nil && revision != d.served {
		err = apply(s, revision)
	}
	if err != nil {
		if err.Error() != d.failed {
			d.log.Warn("the snapshot cannot be served; the last good one stays", "error", err)
		}
		d.failed = err.Error()
		return err
	}
	d.seen, d.served, d.failed = now, revision, ""
	return nil
}

// Follow loads the directory every PollInterval until ctx ends or stop says that another source has taken over.
func (d *Directory) Follow(ctx context.Context, apply Apply, stop func() bool) {
	ticker := d.clock.NewTicker(PollInterval)
	defer ticker.Stop()
	for !stop() {
		d.Load(apply) //nolint:errcheck // logged, and tried again at the next tick
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// signature is what a look at the files shows without reading them.
func (d *Directory) signature() string {
	var all []byte
	for _, name := range snapshot.FileNames() {
		info, err := os.Stat(d.path + "/" + name)
		if err == nil {
			all = fmt.Appendf(all, "%s %d %d %v\n", name, info.Size(), info.ModTime().UnixNano(), inode(info))
		} else if !errors.Is(err, os.ErrNotExist) {
			all = fmt.Appendf(all, "%s %v\n", name, err)
		}
	}
	return string(all)
}
