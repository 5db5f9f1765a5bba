// Package browser drives a headless Chromium the way a person would: open, type, press, read.
//
// Everything waits for what a person would wait for, at most a minute, and fails the test with the page's address and text when it does not come.
package browser

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const patience = time.Minute

// Tab is one tab. Tabs made by NewTab share the cookies of the one they come from.
type Tab struct {
	t   testing.TB
	ctx context.Context
}

// New starts a browser with an empty profile. hosts maps a host name, or a pattern such as *.example.com, to the loopback address and port that
// answers for it; every other name does not exist. Certificates are not checked: the tests' own authority is in no store.
func New(t testing.TB, hosts map[string]string) *Tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("host-resolver-rules", rules(hosts)),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		closeTab()
		stop()
	})
	tab := &Tab{t: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium: %v (apt-get install chromium)", err)
	}
	return tab
}

func rules(hosts map[string]string) string {
	var out []string
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		out = append(out, fmt.Sprintf("MAP %s %s", host, hosts[host]))
	}
	return strings.Join(append(out, "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1", "EXCLUDE *.localhost"), ", ")
}

// NewTab opens another tab of the same browser.
func (b *Tab) NewTab() *Tab {
	b.t.Helper()
	ctx, closeTab := chromedp.NewContext(b.ctx)
	b.t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatalf("new tab: %v", err)
	}
	return &Tab{t: b.t, ctx: ctx}
}

// Open goes to the address and waits for the page, whatever redirects come before it. Chromium gives up on a page when an interface of the
// machine comes or goes, such as a cluster's bridge, although loopback stays: then it is asked again.
func (b *Tab) Open(url string) {
	b.t.Helper()
	err := b.run(chromedp.Navigate(url))
	for tries := 1; tries < 5 && err != nil && strings.Contains(err.Error(), "ERR_NETWORK_CHANGED"); tries++ {
		err = b.run(chromedp.Navigate(url))
	}
	if err != nil {
		b.t.Fatalf("open %s: %v", url, err)
	}
}

// Type puts text into the field that the CSS selector names, as key presses, after waiting for the field.
func (b *Tab) Type(selector, text string) {
	b.t.Helper()
	field := chromedp.CSS(selector)
	if err := b.run(chromedp.WaitVisible(field), chromedp.Clear(field), chromedp.SendKeys(field, text)); err != nil {
		b.fail("no field %s to type into: %v", selector, err)
	}
}

// Press clicks what the CSS selector names, after waiting for it. It does not wait for what the click brings: WaitText and WaitURL do.
func (b *Tab) Press(selector string) {
	b.t.Helper()
	if err := b.run(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.fail("nothing to press at %s: %v", selector, err)
	}
}

// ByKeyboard goes to what the CSS selector names with the Tab key alone, holds that the focus shows there, and presses Enter.
func (b *Tab) ByKeyboard(selector string) {
	b.t.Helper()
	const ringed = `(e => e !== document.body && e.matches(%q) ? getComputedStyle(e).outlineStyle + " " + getComputedStyle(e).outlineWidth : "")(document.activeElement)`
	for range 60 {
		if err := b.run(chromedp.KeyEvent("\t")); err != nil {
			b.fail("no Tab key: %v", err)
		}
		switch ring := b.Evaluate(fmt.Sprintf(ringed, selector)); ring {
		case "":
		case "solid 3px":
			if err := b.run(chromedp.KeyEvent("\r")); err != nil {
				b.fail("no Enter key: %v", err)
			}
			return
		default:
			b.fail("the focus does not show on %s: %s", selector, ring)
		}
	}
	b.fail("the Tab key does not lead to %s", selector)
}

// WaitText waits until the page shows the text.
func (b *Tab) WaitText(text string) {
	b.t.Helper()
	b.waitFor(fmt.Sprintf("the page to show %q", text), func() bool { return strings.Contains(b.Text(), text) })
}

// WaitURL waits until the address starts with the prefix and its page has been loaded.
func (b *Tab) WaitURL(prefix string) {
	b.t.Helper()
	b.waitFor("the address "+prefix, func() bool {
		return strings.HasPrefix(b.URL(), prefix) && ask(b, chromedp.Evaluate[string]("document.readyState")) == "complete"
	})
}

// Has says whether the page has what the CSS selector names, now.
func (b *Tab) Has(selector string) bool {
	return ask(b, chromedp.Evaluate[bool](fmt.Sprintf("document.querySelector(%q) !== null", selector)))
}

// WaitFor waits until the page has what the CSS selector names.
func (b *Tab) WaitFor(selector string) {
	b.t.Helper()
	b.waitFor("an element "+selector, func() bool { return b.Has(selector) })
}

// Text is what the page shows now; empty while it is being replaced.
func (b *Tab) Text() string {
	return ask(b, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
}

// URL is the address of the page now; empty while it is being replaced.
func (b *Tab) URL() string {
	return ask(b, chromedp.Location())
}

// Cookies are those that the browser would send to the address, by name.
func (b *Tab) Cookies(url string) map[string]*network.Cookie {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{url}})
	if err != nil {
		b.t.Fatalf("cookies of %s: %v", url, err)
	}
	byName := map[string]*network.Cookie{}
	for _, cookie := range result.Cookies {
		byName[cookie.Name] = cookie
	}
	return byName
}

// Screenshot writes the whole page as it looks at a width in CSS pixels to a PNG file, and puts the width back.
func (b *Tab) Screenshot(path string, width int64) {
	b.t.Helper()
	options := []chromedp.EmulateViewportOption{}
	if width < 600 {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulatePortrait)
	}
	// The pause is for layout and fonts after the change of width.
	err := b.run(chromedp.EmulateViewport(width, 800, options...), chromedp.Sleep(200*time.Millisecond))
	image := ask(b, chromedp.FullScreenshot(100))
	if err == nil {
		err = b.run(chromedp.ResetViewport())
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, image, 0o644)
	}
	if err != nil {
		b.t.Fatalf("screenshot %s: %v", path, err)
	}
}

func (b *Tab) waitFor(what string, holds func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		b.reloadAfterNetworkChange()
		if time.Now().After(deadline) {
			b.fail("waited %s for %s", patience, what)
		}
	}
}

// reloadAfterNetworkChange does what the page of the error asks people to do, where Chromium has given up on a page that a press led to; see Open.
func (b *Tab) reloadAfterNetworkChange() {
	if strings.HasPrefix(b.URL(), "chrome-error:") && strings.Contains(b.Text(), "ERR_NETWORK_CHANGED") {
		b.run(chromedp.Reload()) //nolint:errcheck // what is waited for tells
	}
}

func (b *Tab) fail(format string, args ...any) {
	b.t.Helper()
	b.t.Fatalf("%s\nthe browser is at %s and shows:\n%s", fmt.Sprintf(format, args...), b.URL(), b.Text())
}

func (b *Tab) run(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

// ask reads something from the page; the zero value while the page is being replaced.
func ask[T any](b *Tab, question chromedp.Action[T]) T {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, question)
	if err != nil {
		var none T
		return none
	}
	return answer
}
