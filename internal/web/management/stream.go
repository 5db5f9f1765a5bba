package management

import (
	"net/http"
	"time"

	"sallyport.dev/sallyport/internal/store"
)

const (
	// streamPage is how many records are in memory at a time.
	streamPage = 500
	// followPoll is how often the store is asked for more, followBeat how often an empty line shows that both ends are there, followFor how long one
	// request lasts before the client asks again.
	followPoll = time.Second
	followBeat = 15 * time.Second
	followFor  = time.Hour
	// maxFollowers bounds requests that follow, for each pod.
	maxFollowers = 32
	// writeTime is how long the client may take for one page.
	writeTime = 30 * time.Second
)

// reached is how far the client got with each writer.
type reached struct {
	After store.AuditPosition `json:"after"`
}

// auditExport streams all records that match and are committed now, in the order of time, with one page in memory. Who goes on with an export says by POST how far it got
// with each writer.
func (m *Server) auditExport(w http.ResponseWriter, r *http.Request) error {
	q, err := auditQuery(r)
	if err != nil {
		return err
	}
	if q.NewestFirst || q.Cursor != "" {
		return status(http.StatusBadRequest, "newest and cursor are for pages: an export goes from the oldest to the newest, and goes on from the position in the body of a POST")
	}
	var from reached
	if err := body(r, &from); err != nil {
		return err
	}
	q.Limit = streamPage
	if err := m.queried(r, "export", q); err != nil {
		return err
	}
	var out *streamed
	gone := false
	err = m.Store.ExportAudit(r.Context(), q, from.After, func(lines []store.AuditLine) error {
		if out == nil {
			out = stream(w)
		}
		err := out.lines(lines)
		gone = err != nil
		return err
	})
	if err == nil || gone {
		return nil
	}
	if out == nil {
		return err
	}
	if r.Context().Err() == nil {
		m.Log.Error("an audit export broke off", "error", err)
	}
	// Half of an answer must not look like all of it.
	panic(http.ErrAbortHandler)
}

// auditFollow streams records as they are committed, in the order of each writer, until the client goes, the pod drains, or an hour has passed. Who goes on says by POST how
// far it got with each writer: a cursor is a time, and loses what others commit meanwhile where the clock of one writer is ahead.
func (m *Server) auditFollow(w http.ResponseWriter, r *http.Request) error {
	q, err := auditQuery(r)
	if err != nil {
		return err
	}
	if q.NewestFirst || !q.Until.IsZero() {
		return status(http.StatusBadRequest, "newest and until are for pages: following streams new records")
	}
	var from reached
	if err := body(r, &from); err != nil {
		return err
	}
	if from.After != nil && (q.Cursor != "" || !q.Since.IsZero()) {
		return status(http.StatusBadRequest, "since and cursor say where to begin, and so does the position in the body: send one of them")
	}
	if m.followers.Add(1) > maxFollowers {
		m.followers.Add(-1)
		return status(http.StatusTooManyRequests, "%d requests follow the audit log of this pod already: end one, or ask for pages", maxFollowers)
	}
	defer m.followers.Add(-1)
	if err := m.queried(r, "follow", q); err != nil {
		return err
	}
	position := from.After
	if position == nil {
		if position, err = m.Store.AuditFrom(r.Context(), q.Since, q.Cursor); err != nil {
			return err
		}
	}
	q.Limit = streamPage
	out := stream(w)
	if out.flush() != nil {
		return nil
	}
	ends, beat := time.After(followFor), time.NewTicker(followBeat)
	defer beat.Stop()
	poll := time.NewTicker(followPoll)
	defer poll.Stop()
	for !m.draining.Load() {
		lines, err := m.Store.AuditAfter(r.Context(), q, position)
		if err != nil && r.Context().Err() == nil {
			m.Log.Error("following the audit log broke off", "error", err)
			panic(http.ErrAbortHandler)
		}
		if len(lines) > 0 && out.lines(lines) != nil {
			return nil
		}
		if len(lines) == streamPage {
			continue
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-ends:
			return nil
		case <-beat.C:
			if out.lines([]store.AuditLine{{}}) != nil {
				return nil
			}
		case <-poll.C:
		}
	}
	return nil
}

// streamed is an answer of lines that goes out page by page.
type streamed struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func stream(w http.ResponseWriter) *streamed {
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &streamed{w, http.NewResponseController(w)}
}

// lines sends lines at once. An error means that the client is gone or too slow.
func (s *streamed) lines(lines []store.AuditLine) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	for _, l := range lines {
		if _, err := s.w.Write(append(l.Line, '\n')); err != nil {
			return err
		}
	}
	return s.flush()
}

func (s *streamed) flush() error { return s.control.Flush() }
