package web_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

func (w *world) apiAs(bearer, method, path, body string, into any) int {
	w.t.Helper()
	r, err := http.NewRequest(method, w.process.management.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	switch into := into.(type) {
	case nil:
	case *string:
		*into = string(content)
	default:
		if err := json.Unmarshal(content, into); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, content)
		}
	}
	return response.StatusCode
}
