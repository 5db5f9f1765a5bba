// Package manage speaks the management API of a service provider (docs/reference/management-api.md) for `kubectl sso`.
package manage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/manageapi"
)

const (
	// maxAnswer bounds an answer that is read whole, in bytes. Streams are read line by line.
	maxAnswer = 32 << 20
	// answerTimeout is how long a pod may take to begin an answer: longer than its own longest wait.
	answerTimeout = 45 * time.Second
)

// Options of New.
type Options struct {
	// Address is where the management port is reached, host:port.
	Address string
	// Token is the bearer token; Caller the name of the user as the API server knows them; Namespace and Pod what errors call the other side.
	Token, Caller, Namespace, Pod string
}

// Client asks one pod. It is safe for concurrent use.
type Client struct {
	o    Options
	http *http.Client
}

// New makes a client.
func New(o Options) *Client {
	return &Client{o: o, http: &http.Client{
		Transport: &http.Transport{ResponseHeaderTimeout: answerTimeout, DisableCompression: true},
		// The API redirects nowhere; a redirect would carry the token along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Error is an answer that is not the one hoped for. It is for people: what was wrong, and what to do next.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return e.Message }

// IsNotFound says whether the thing that was asked for is not there.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == http.StatusNotFound
}

// Unreachable means that no answer came.
type Unreachable struct {
	Namespace, Pod string
	Err            error
}

func (e *Unreachable) Error() string {
	return fmt.Sprintf("the management port of pod %s does not answer (%v): `kubectl sso status -n %[3]s` shows how the pods are; try again, or look at `kubectl logs %[1]s -n %[3]s`", e.Pod, plain(e.Err), e.Namespace)
}

func (e *Unreachable) Unwrap() error { return e.Err }

// plain leaves the method and the address of a tunnel out, which say nothing to anybody.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// Get asks for JSON.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodGet, path, query, nil, out)
}

// Post sends JSON; out may be nil.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	return c.call(ctx, http.MethodPost, path, nil, in, out)
}

// Delete removes.
func (c *Client) Delete(ctx context.Context, path string) error {
	return c.call(ctx, http.MethodDelete, path, nil, nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	response, err := c.send(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return &Unreachable{c.o.Namespace, c.o.Pod, err}
	}
	if out == nil || len(content) == 0 {
		return nil
	}
	if err := json.Unmarshal(content, out); err != nil {
		return fmt.Errorf("pod %s gave an unexpected answer (%w): kubectl-sso and the service provider should have the same version", c.o.Pod, err)
	}
	return nil
}

// Stream asks for lines. The caller closes the body.
func (c *Client) Stream(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	return c.send(ctx, http.MethodGet, path, query, nil)
}

// StreamFrom asks for lines and says in the body from where on. The caller closes the body of the answer.
func (c *Client) StreamFrom(ctx context.Context, path string, query url.Values, from any) (*http.Response, error) {
	return c.send(ctx, http.MethodPost, path, query, from)
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, in any) (*http.Response, error) {
	address := "http://" + c.o.Address + "/v1" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	var body io.Reader
	if in != nil {
		content, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(content)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.o.Token)
	request.Header.Set(manageapi.ActorHeader, c.o.Caller)
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &Unreachable{c.o.Namespace, c.o.Pod, err}
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		return nil, c.failure(response)
	}
	return response, nil
}

// failure reads what the pod says is wrong and adds what to do, where the pod cannot know it.
func (c *Client) failure(response *http.Response) error {
	var said manageapi.Failure
	content, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if json.Unmarshal(content, &said) != nil || said.Error == "" {
		said.Error = strings.TrimSpace(response.Status)
	}
	e := &Error{Status: response.StatusCode, Message: said.Error}
	switch response.StatusCode {
	case http.StatusUnauthorized:
		e.Message = fmt.Sprintf("pod %s does not accept the token in its Secret: a changed Secret takes effect within a minute; after that, restart the pod (kubectl delete pod %[1]s -n %[2]s)", c.o.Pod, c.o.Namespace)
	case http.StatusGone:
		e.Message = "the cursor has expired, because retention has removed what it points at: start again without it"
	case http.StatusInternalServerError:
		e.Message = fmt.Sprintf("pod %[1]s: %[2]s: kubectl logs %[1]s -n %[3]s", c.o.Pod, said.Error, c.o.Namespace)
	case http.StatusServiceUnavailable:
		e.Message = fmt.Sprintf("pod %s: %s: see StoreReady in `kubectl sso status -n %s`, and try again", c.o.Pod, said.Error, c.o.Namespace)
	}
	return e
}
