package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/cli/manage"
)

// reconnectAfter is how long to wait before a stream that broke off is asked for again.
const reconnectAfter = time.Second

// followAudit shows records as they are committed until the user ends it. A stream that ends or breaks off is taken up again where it was with each writer: an ID
// would not say so, because the clock of one of them may be ahead.
func followAudit(command *cobra.Command, s served, query url.Values, show func([]byte) error) error {
	ctx := command.Context()
	reached, err := s.positionAt(ctx, query.Get("since"))
	if err != nil {
		return err
	}
	query.Del("since")
	failures := 0
	for {
		err := followOnce(ctx, s, query, reached, func(line []byte) error {
			if err := reached.add(line); err != nil {
				return fmt.Errorf("a line is not an audit record: %w", err)
			}
			failures = 0
			return show(line)
		})
		refused, answered := errors.AsType[*manage.Error](err)
		switch {
		case ctx.Err() != nil:
			return nil
		case answered && refused.Status < 500:
			return err
		case err != nil && !broken(err):
			return err
		case err != nil:
			if failures++; failures > 30 {
				return err
			}
			fmt.Fprintln(command.ErrOrStderr(), "the stream broke off; reconnecting")
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

// positionAt is where each chain was at a time; empty: now.
func (s served) positionAt(ctx context.Context, since string) (position, error) {
	ends, before := &proof{}, url.Values{}
	if since != "" {
		before.Set("until", since)
	}
	if err := s.heads(ctx, before, ends); err != nil {
		return nil, err
	}
	p := position{}
	for _, h := range ends.Heads {
		p[h.Writer] = h.Sequence
	}
	return p, nil
}

func followOnce(ctx context.Context, s served, query url.Values, after position, show func([]byte) error) error {
	response, err := s.StreamFrom(ctx, "/audit/follow", query, map[string]position{"after": after})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return eachLine(response.Body, show)
}
