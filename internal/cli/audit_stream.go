package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/cli/manage"
)

const (
	// reconnectAfter is how long to wait before a stream that broke off is asked for again.
	reconnectAfter = time.Second
	// overlap is how far back IDs are remembered: after a reconnect up to a minute of records comes again.
	overlap = 2 * time.Minute
)

// followAudit shows records as they are committed until the user ends it. A stream that ends or breaks off is taken up again where it was.
func followAudit(command *cobra.Command, s served, query url.Values, show func([]byte) error) error {
	ctx := command.Context()
	seen := map[string]time.Time{}
	failures := 0
	for {
		err := followOnce(ctx, s, query, func(line []byte) error {
			var r auditRecord
			if err := json.Unmarshal(line, &r); err != nil {
				return fmt.Errorf("a line is no audit record: %w", err)
			}
			if _, again := seen[r.ID]; again {
				return nil
			}
			failures = 0
			seen[r.ID] = r.Time
			for id, t := range seen {
				if r.Time.Sub(t) > overlap {
					delete(seen, id)
				}
			}
			query.Set("cursor", r.ID)
			query.Del("since")
			return show(line)
		})
		refused, answered := errors.AsType[*manage.Error](err)
		switch {
		case ctx.Err() != nil:
			return nil
		case answered && refused.Status != 503:
			return err
		case err != nil && !broken(err):
			return err
		case err != nil:
			if failures++; failures > 30 {
				return err
			}
			fmt.Fprintln(command.ErrOrStderr(), "the stream broke off; asking again")
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(reconnectAfter):
			}
		}
	}
}

// broken says that the connection is at fault, and not what came over it.
func broken(err error) bool {
	_, unreachable := errors.AsType[*manage.Unreachable](err)
	_, answered := errors.AsType[*manage.Error](err)
	return unreachable || answered || errors.Is(err, io.ErrUnexpectedEOF)
}

func followOnce(ctx context.Context, s served, query url.Values, show func([]byte) error) error {
	response, err := s.Stream(ctx, "/audit/follow", query)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return eachLine(response.Body, show)
}
