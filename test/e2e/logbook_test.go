//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// logbook keeps what our pods in a namespace write, each from its start on: also of those that are gone when somebody reads it.
type logbook struct {
	pods typedcorev1.PodInterface

	mutex sync.Mutex
	// lines are by container. following are those that are being read, complete those that have ended and were read to their end.
	lines               map[string][]string
	following, complete map[string]bool
}

// followLogs begins a logbook, which is kept until ctx ends.
func followLogs(ctx context.Context, namespace string) (*logbook, error) {
	config, err := clientcmd.BuildConfigFromFlags("", ground.Kubeconfig())
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	l := &logbook{pods: client.CoreV1().Pods(namespace), lines: map[string][]string{}, following: map[string]bool{}, complete: map[string]bool{}}
	go func() {
		for ; ctx.Err() == nil; time.Sleep(500 * time.Millisecond) {
			l.look(ctx)
		}
	}()
	return l, nil
}

// look begins to read every container that nobody reads. The API server may be away: then the next look begins anew with what it cut off.
func (l *logbook) look(ctx context.Context) {
	list, err := l.pods.List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=sallyport"})
	if err != nil {
		return
	}
	for _, pod := range list.Items {
		for _, container := range pod.Status.ContainerStatuses {
			if container.ContainerID == "" || container.State.Waiting != nil {
				continue
			}
			key := fmt.Sprintf("%s %s %s %d", pod.Name, pod.UID, container.Name, container.RestartCount)
			options := &corev1.PodLogOptions{Container: container.Name, Follow: container.State.Terminated == nil}
			l.mutex.Lock()
			if !l.following[key] && !l.complete[key] {
				l.following[key] = true
				go l.read(ctx, key, pod.Name, options)
			}
			l.mutex.Unlock()
		}
	}
}

func (l *logbook) read(ctx context.Context, key, pod string, options *corev1.PodLogOptions) {
	stream, err := l.pods.GetLogs(pod, options).Stream(ctx)
	if err == nil {
		defer stream.Close()
		var lines []string
		scanner := bufio.NewScanner(stream)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			lines = append(lines, scanner.Text())
			l.mutex.Lock()
			if len(lines) > len(l.lines[key]) { // it may be read anew
				l.lines[key] = lines
			}
			l.mutex.Unlock()
		}
		err = scanner.Err()
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.following[key] = false
	l.complete[key] = err == nil && !options.Follow
}

// written is every line so far, and how many containers wrote them.
func (l *logbook) written() (lines []string, containers int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, of := range l.lines {
		lines = append(lines, of...)
	}
	return lines, len(l.lines)
}
