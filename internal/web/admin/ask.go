package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"sallyport.dev/sallyport/internal/manageapi"
)

// refusal is an answer of the API that is not the one hoped for.
type refusal struct {
	status  int
	message string
}

func (e *refusal) Error() string { return e.message }

// answer takes what the API writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }
func (a *answer) WriteHeader(code int) {
	if a.status == 0 {
		a.status = code
	}
}
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// ask makes a request of the management API on behalf of the administrator. out may be nil. Pages are small: the whole answer is held.
func (v *visit) ask(method, path string, query url.Values, in, out any) (http.Header, error) {
	content := []byte("{}")
	if in != nil {
		var err error
		if content, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	if method == http.MethodGet {
		content = nil
	}
	request, err := http.NewRequestWithContext(v.r.Context(), method, "/v1"+path+"?"+query.Encode(), bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	a := &answer{header: http.Header{}}
	v.api.As(v.by, a, request)
	if a.status >= 300 {
		var said manageapi.Failure
		if json.Unmarshal(a.body.Bytes(), &said) != nil || said.Error == "" {
			said.Error = http.StatusText(a.status)
		}
		return nil, &refusal{a.status, said.Error}
	}
	switch out := out.(type) {
	case nil:
		return a.header, nil
	case *[]json.RawMessage:
		for line := range bytes.Lines(a.body.Bytes()) {
			*out = append(*out, json.RawMessage(bytes.TrimSpace(line)))
		}
		return a.header, nil
	default:
		if err := json.Unmarshal(a.body.Bytes(), out); err != nil {
			return nil, fmt.Errorf("the management API's answer: %w", err)
		}
		return a.header, nil
	}
}

func (v *visit) get(path string, query url.Values, out any) error {
	_, err := v.ask(http.MethodGet, path, query, nil, out)
	return err
}

// only keeps the parameters that a page knows and that are not empty.
func only(from url.Values, names ...string) url.Values {
	out := url.Values{}
	for _, name := range names {
		if value := strings.TrimSpace(from.Get(name)); value != "" {
			out.Set(name, value)
		}
	}
	return out
}
