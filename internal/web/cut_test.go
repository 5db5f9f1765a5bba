package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/serve"
)

// TestHalfAnAnswerIsCut: who downloads an export of which the second half could not be read must not take the first for all of it.
func TestHalfAnAnswerIsCut(t *testing.T) {
	s := &Server{env: &serve.Env{Metrics: metrics.New()}}
	server := httptest.NewServer(s.measured(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	})))
	defer server.Close()
	answer, err := http.Get(server.URL)
	if err == nil {
		defer answer.Body.Close()
		_, err = io.ReadAll(answer.Body)
	}
	if err == nil {
		t.Error("the answer looks whole")
	}
}
