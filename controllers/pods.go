package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/internal/render"
)

// AddressOf returns where the management API of a pod is, host:port; empty when it has none.
type AddressOf func(pod *corev1.Pod) string

// ManagementAddress is the management port of the pod.
func ManagementAddress(pod *corev1.Pod) string {
	return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(render.ManagementPort))
}

// maxPodAnswer bounds what a pod may answer, in bytes.
const maxPodAnswer = 1 << 20

// podClient talks to pods, never through a proxy: the token goes to nobody else. Every call has a time limit of its own.
var podClient = &http.Client{
	Transport:     &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// call asks the management API of a pod. Errors quote nothing that the pod sent.
func (a AddressOf) call(ctx context.Context, pod *corev1.Pod, token, method, path string, body, into any) error {
	address := a(pod)
	if address == "" {
		return errors.New("the pod has no address")
	}
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, content)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := podClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the management API answered %s", response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, maxPodAnswer)).Decode(into)
}
