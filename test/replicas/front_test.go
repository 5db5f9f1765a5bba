package replicas

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
)

// front is the proxy before a number of replicas: it takes turns, and asks the next one where one does not answer, as nginx and a Service with retries do.
type front struct {
	mutex sync.Mutex
	pods  []*replica
}

func (f *front) set(pods ...*replica) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.pods = slices.Clone(pods)
}

// turn is the order in which the replicas are asked this time.
func (f *front) turn() []*replica {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.pods = append(f.pods[1:len(f.pods):len(f.pods)], f.pods[0])
	return slices.Clone(f.pods)
}

// RoundTrip ends TLS and finds a replica. What may have been done already is not sent again.
func (f *front) RoundTrip(request *http.Request) (response *http.Response, err error) {
	for _, p := range f.turn() {
		inner := request.Clone(request.Context())
		inner.Host, inner.URL.Scheme, inner.URL.Host = request.URL.Host, "http", p.public
		inner.Header.Set("X-Forwarded-Proto", "https")
		if request.GetBody != nil {
			if inner.Body, err = request.GetBody(); err != nil {
				return nil, err
			}
		}
		if response, err = http.DefaultTransport.RoundTrip(inner); err == nil {
			return response, nil
		}
		dial, _ := errors.AsType[*net.OpError](err)
		if request.Method != http.MethodGet && (dial == nil || dial.Op != "dial") {
			break
		}
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}
