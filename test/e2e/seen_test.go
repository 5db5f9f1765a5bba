//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"sync"
)

// seen are the secrets that went by in a world, what each is by its text: they are looked for where none may be.
type seen struct {
	mutex sync.Mutex
	texts map[string]string
}

func newSeen() *seen { return &seen{texts: map[string]string{}} }

// secret notes a text. One that is short says nothing: it may be anywhere by chance.
func (s *seen) secret(what, text string) {
	if len(text) < 12 {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.texts[text] = what
}

// all is what was seen so far.
func (s *seen) all() map[string]string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return maps.Clone(s.texts)
}

var cipherValue = regexp.MustCompile(`CipherValue>([A-Za-z0-9+/=\s]{64})`)

// assertion notes a part of what an IdP answered, as the form has it, and a part of each thing that is encrypted in it.
func (s *seen) assertion(response string) {
	if len(response) < 128 {
		return
	}
	s.secret("a part of a Response in base64", response[len(response)/2:][:64])
	xml, err := base64.StdEncoding.DecodeString(response)
	if err != nil {
		return
	}
	for _, value := range cipherValue.FindAllSubmatch(xml, -1) {
		s.secret("a part of an assertion", string(value[1]))
	}
}

// on is a way to servers on which every cookie that they set is noted.
func (s *seen) on(way http.RoundTripper) http.RoundTripper { return seeing{s, way} }

type seeing struct {
	seen *seen
	way  http.RoundTripper
}

func (s seeing) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := s.way.RoundTrip(request)
	if err == nil {
		for _, cookie := range response.Cookies() {
			s.seen.secret(fmt.Sprintf("the cookie %s of %s", cookie.Name, request.URL.Host), cookie.Value)
		}
	}
	return response, err
}
