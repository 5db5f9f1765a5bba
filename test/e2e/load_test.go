//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNoCheckFails keeps asking through nginx for a person who is signed in, while others sign in, and pods, the operator and the API server go away.
func TestNoCheckFails(t *testing.T) {
	w := newWorld(t, "steady", "127.0.0.1:8444", true)
	tab := w.signIn(w.AppURL+"/", "alice@acme.example", "alice")
	tab.WaitText("Hello Alice Adams")
	cookies := w.cookies(tab)

	t.Run("a service provider's pod is deleted", func(t *testing.T) {
		w := w.in(t)
		w.under(t, cookies, w.byForms, func(*signingIn) {
			for _, pod := range strings.Fields(w.must("get", "pods", "-l", "app.kubernetes.io/name=sallyport", "-o", "jsonpath={.items[*].metadata.name}")) {
				w.must("delete", "pod", pod, "--wait=true")
				w.rolledOut("main-sallyport")
			}
		})
	})
	proof := filepath.Join(t.TempDir(), "proof.json")
	t.Run("every pod is replaced, because another key signs the audit log", func(t *testing.T) {
		w := w.in(t)
		w.keepProof(proof)
		w.under(t, cookies, w.byForms, func(*signingIn) { w.rotatesAuditKey() })
		contains(t, "kubectl sso audit verify", w.sso("audit", "verify", "--proof", proof), "no gaps, no changes")
	})
	t.Run("a sign-in that began on one pod ends on another", func(t *testing.T) {
		w := w.in(t)
		tab := w.browser()
		tab.Open(w.AppURL + "/deep?x=1&y=2")
		tab.WaitURL(w.SSOURL + "/signin")
		tab.Type("#email", "bob@acme.example")
		tab.Press("form button")
		tab.WaitURL(w.IdPURL)
		w.must("delete", "pod", "-l", "app.kubernetes.io/name=sallyport", "--wait=true")
		w.rolledOut("main-sallyport")
		w.eventually("the Service to lead to the new pods", 2*time.Minute, func() error {
			got, err := w.get(w.SSOURL+"/signin", nil)
			if err == nil && got.status != http.StatusOK {
				err = fmt.Errorf("status %d", got.status)
			}
			return err
		})
		tab.SignInAtSimpleSAMLphp("bob", "bob-password")
		tab.WaitURL(w.AppURL + "/deep?x=1&y=2")
		tab.WaitText("Hello Bob Brown")
	})
	t.Run("the operator is killed", func(t *testing.T) {
		w := w.in(t)
		w.under(t, cookies, w.byForms, func(*signingIn) {
			w.must("-n", "sallyport-system", "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force")
			w.must("-n", "sallyport-system", "rollout", "status", "deployment/sallyport-operator", "--timeout=120s")
			w.becomesReadyAfterAChange("Acme after the operator")
		})
	})
	t.Run("the API server is away for a minute", func(t *testing.T) {
		w := w.in(t)
		w.under(t, cookies, w.byForms, func(*signingIn) {
			// Where leaders are elected, a controller manager ends when it cannot renew its lease, and begins anew. This cluster's elects nobody: if it lived on, it would
			// take the node for lost the moment the API server is back, and every pod out of every Service.
			component(t, "pause-component", "kube-controller-manager")
			component(t, "pause-component", "kube-apiserver")
			time.Sleep(time.Minute)
			component(t, "resume-component", "kube-apiserver")
			component(t, "resume-component", "kube-controller-manager")
			w.becomesReadyAfterAChange("Acme after the API server")
			w.rolledOut("main-sallyport")
		})
	})
	t.Run("the chart is uninstalled, installed as an earlier release, and upgraded", func(t *testing.T) { w.in(t).survivesHelm(t, cookies) })
	if _, err := os.Stat(proof); err == nil { // not where another part was asked for alone
		w.provesItself(proof)
	}
	w.keepsQuiet(1)
}

// becomesReadyAfterAChange holds that the operator works: a change reaches the pods.
func (w *world) becomesReadyAfterAChange(displayName string) {
	w.t.Helper()
	// An API server that was away answers 503 for some seconds, until its policies know the kinds again.
	w.eventually("the change to be taken", 2*time.Minute, func() error {
		_, err := ground.Kubectl(w.t.Context(), "-n", w.Namespace, "patch", "idp", "acme", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"displayName":%q}}`, displayName))
		return err
	})
	generation := w.must("get", "idp", "acme", "-o", "jsonpath={.metadata.generation}")
	w.must("wait", "idp/acme", "--timeout=120s", "--for=jsonpath={.status.observedGeneration}="+generation)
	w.must("wait", "idp/acme", "--timeout=120s", "--for=condition=Ready")
}

func component(t *testing.T, command, name string) {
	t.Helper()
	if out, err := ground.Run(t.Context(), filepath.Join(ground.Root, ".cluster", "bin", "cluster"), command, name); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// stall is how long a check may wait for its answer: a machine with other work to do stands still for some seconds.
const stall = 15 * time.Second

// under does something while checks go on, up to 50 a second on kept connections and 10 a second on new ones, and somebody signs in every second, from 3 s before until 5 s
// after. Not one check or sign-in may fail, no check may wait for long, and each sign-in has its record.
func (w *world) under(t *testing.T, cookies http.Header, signIn func() (session string, err error), do func(people *signingIn)) {
	t.Helper()
	w = w.in(t)
	c := &checking{w: w, began: time.Now()}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	fresh := cookies.Clone()
	fresh.Set("Connection", "close")
	c.lanes.Go(func() { c.ask(ctx, 20*time.Millisecond, cookies) })
	c.lanes.Go(func() { c.ask(ctx, 100*time.Millisecond, fresh) })
	people := w.keepSigningIn(signIn)
	time.Sleep(3 * time.Second)
	do(people)
	people.pass(t, 3)
	time.Sleep(5 * time.Second)
	stop()
	c.lanes.Wait()
	c.holds()
	people.stop(w)
}

// checking are checks that go on.
type checking struct {
	w     *world
	began time.Time
	lanes sync.WaitGroup

	mutex    sync.Mutex
	asked    int
	longest  time.Duration
	failures []string
}

func (c *checking) ask(ctx context.Context, every time.Duration, header http.Header) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for answered := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := c.w.check(header)
		c.mutex.Lock()
		c.asked++
		if err != nil {
			c.failures = append(c.failures, fmt.Sprintf("after %s: %v", time.Since(c.began).Round(time.Millisecond), err))
		} else {
			c.longest = max(c.longest, time.Since(answered))
			answered = time.Now()
		}
		c.mutex.Unlock()
	}
}

func (c *checking) holds() {
	t, took := c.w.t, time.Since(c.began)
	t.Helper()
	if len(c.failures) > 0 {
		t.Errorf("%d of %d checks failed in %s:\n%s", len(c.failures), c.asked, took.Round(time.Second), strings.Join(c.failures[:min(len(c.failures), 20)], "\n"))
	}
	if c.longest > stall {
		t.Errorf("for %s no check was answered", c.longest.Round(time.Millisecond))
	}
	if float64(c.asked) < 5*took.Seconds() {
		t.Errorf("only %d checks in %.0f s: the load was not steady", c.asked, took.Seconds())
	}
	t.Logf("%d checks in %s, %d failed, %s without an answer at the longest", c.asked, took.Round(time.Second), len(c.failures), c.longest.Round(10*time.Millisecond))
}
