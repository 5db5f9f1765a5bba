package sink

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/format"
	"sallyport.dev/sallyport/internal/snapshot"
)

// Headers of a webhook's request.
const (
	// SignatureHeader is t=SECONDS,v1=HEX: the HMAC-SHA256 with the shared key over the seconds, a dot and the body.
	SignatureHeader = "Sallyport-Signature"
	// BatchHeader names the batch, WRITER:FIRST-LAST: the same batch may come more than once, and then has the same name.
	BatchHeader = "Sallyport-Batch"
)

// webhook posts batches as lines over HTTPS.
type webhook struct {
	url    string
	key    []byte
	format format.Format
	client *http.Client
	now    func() time.Time
}

func newWebhook(c snapshot.AuditSink, f format.Format, trusted *tls.Config) (Sender, error) {
	if !strings.HasPrefix(c.Endpoint, "https://") {
		return nil, fmt.Errorf("audit sink %s: the URL must start with https://", c.Name)
	}
	if len(c.Secret) == 0 {
		return nil, fmt.Errorf("audit sink %s: the key that signs the requests is missing", c.Name)
	}
	return &webhook{url: c.Endpoint, key: c.Secret, format: f, client: httpClient(trusted), now: time.Now}, nil
}

func (w *webhook) Send(ctx context.Context, batch []audit.Line) error {
	texts, err := written(w.format, batch)
	if err != nil {
		return err
	}
	body := append(bytes.Join(texts, []byte{'\n'}), '\n')
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType(w.format))
	request.Header.Set("User-Agent", "sallyport")
	request.Header.Set(SignatureHeader, Signature(w.key, w.now(), body))
	request.Header.Set(BatchHeader, fmt.Sprintf("%s:%d-%d", batch[0].Writer, batch[0].Sequence, batch[len(batch)-1].Sequence))
	response, err := w.client.Do(request)
	if err != nil {
		return errors.New(withoutURL(err))
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection is used again
	switch {
	case response.StatusCode/100 == 2:
		return nil
	case refused(response.StatusCode):
		return &RefusedError{response.Status}
	}
	return fmt.Errorf("the receiver answered %s", response.Status)
}

func (w *webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

// Signature is the value of SignatureHeader.
func Signature(key []byte, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

func contentType(f format.Format) string {
	if f == format.CEF {
		return "text/plain; charset=utf-8"
	}
	return "application/x-ndjson"
}
