package replicas

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// earlierReleases have left their estate in test/upgrade/testdata. Nothing in there is ever changed.
var earlierReleases = []string{"v0.1"}

func earlier(release string) string {
	return filepath.Join("..", "upgrade", "testdata", release, "estate")
}

// TestTheSnapshotOfAnEarlierReleaseIsServed: the operator is older than the pods for a while. People sign in with what it has published, and what that does not say has its
// default.
func TestTheSnapshotOfAnEarlierReleaseIsServed(t *testing.T) {
	for _, release := range earlierReleases {
		t.Run(release, func(t *testing.T) {
			e := keptEstate(t, earlier(release), storetest.SQLiteURL(t))
			p := e.start()
			e.connection = e.catchAll
			dave := e.browser(p)
			if !dave.signIn("dave@partner.example") || dave.check(p) != http.StatusOK {
				t.Fatal("dave is not signed in")
			}
			if got := p.person("dave@partner.example"); got.Profile["department"].Value != "ML" || len(got.Groups) != 2 {
				t.Errorf("dave is %+v", got)
			}
			if code := e.browser(p).check(p); code != http.StatusUnauthorized {
				t.Errorf("who is not signed in gets %d", code)
			}
			e.connection = e.okta
			alice := e.halfway(p, "id-of-alice@acme.example", "alice@acme.example")
			if alice.check(p) == http.StatusOK {
				t.Error("alice is in without a second factor")
			}
			if alice.enrol(); alice.check(p) != http.StatusOK {
				t.Error("alice is not signed in")
			}
			if got := dave.sendTooMuch(e.catchAll.ACSURL); got.status != http.StatusForbidden {
				t.Errorf("a response of more than 256 KiB: %d", got.status)
			}
			var log struct{ Items []manageapi.DebugEntry }
			if code := p.api("GET", "/v1/debug", "", &log); code != http.StatusOK || len(log.Items) == 0 || log.Items[0].ErrorType != "limit_exceeded" {
				t.Errorf("%d, the debug log has %+v", code, log.Items)
			}
		})
	}
}

// sendTooMuch posts a response that is larger than what is read by default.
func (b *browser) sendTooMuch(acs string) answer {
	return b.send(http.MethodPost, acs, "cross-site", url.Values{"SAMLResponse": {strings.Repeat("A", 256<<10)}})
}

// TestTheSnapshotOfALaterReleaseIsServed: the operator is newer than the pods for a while. They serve what they know of what it publishes, and acknowledge it.
func TestTheSnapshotOfALaterReleaseIsServed(t *testing.T) {
	r := newRig(t, storetest.SQLiteURL(t))
	p := r.start()
	alice := r.browser(p)
	if !alice.signIn("alice@acme.example") {
		t.Fatal("alice is not signed in")
	}
	revision := r.rewrite(func(file map[string]any) {
		if domains, ok := file["domains"].([]any); ok {
			file["domains"] = append(domains, map[string]any{"domain": "later.example", "connection": "okta", "binding": "later"})
		}
		addToEverything(file)
	})
	p.awaitRevision(revision)
	if code := alice.check(p); code != http.StatusOK {
		t.Errorf("alice, who was signed in, gets %d", code)
	}
	if bob := r.browser(p); !bob.signIn("bob@later.example") || bob.check(p) != http.StatusOK {
		t.Error("bob, whose domain came with the later release, is not signed in")
	}
	p.Stop()
	p = r.start()
	if code := alice.check(p); code != http.StatusOK {
		t.Errorf("a pod that starts on it gives alice %d", code)
	}
}

// TestASnapshotOfALaterFormatIsRefused with a sentence, and the last good one stays. A pod that starts on it takes nobody in.
func TestASnapshotOfALaterFormatIsRefused(t *testing.T) {
	r := newRig(t, storetest.SQLiteURL(t))
	p := r.start()
	alice := r.browser(p)
	if !alice.signIn("alice@acme.example") {
		t.Fatal("alice is not signed in")
	}
	const sentence = "index.json.gz has format 2 and this version reads format 1: run the operator and the service provider in the same version"
	r.rewrite(func(file map[string]any) {
		if _, isIndex := file["format"]; isIndex {
			file["format"], file["domains"] = 2, nil
		}
	})
	await.Until(t, "the refusal is logged", func() bool { return strings.Contains(p.Said(), sentence) })
	if !strings.Contains(p.Said(), "the last good one stays") {
		t.Error("nobody says what is served meanwhile")
	}
	if bob := r.browser(p); alice.check(p) != http.StatusOK || !bob.signIn("bob@acme.example") || bob.check(p) != http.StatusOK {
		t.Error("the last good snapshot is not served any more")
	}
	p.Stop()
	fresh := r.launch()
	await.Until(t, "one that starts says the same", func() bool { return strings.Contains(fresh.Said(), sentence) })
	if code := fresh.probe("/readyz"); code == http.StatusOK {
		t.Error("one that has nothing to serve is ready")
	}
}

// awaitRevision waits until the process acknowledges that it serves a revision, as it does to the operator.
func (p *replica) awaitRevision(revision string) {
	p.t.Helper()
	await.Until(p.t, "the process serves revision "+revision, func() bool {
		var now struct{ Revision string }
		return p.api("GET", "/v1/revision", "", &now) == http.StatusOK && now.Revision == revision
	})
}

// rewrite changes the JSON in each file of the snapshot that processes serve, the index last, and returns its revision. It knows the format from its description alone, as
// another release would.
func (r *rig) rewrite(change func(file map[string]any)) (revision string) {
	r.t.Helper()
	index := r.unpack(snapshot.IndexFile)
	for _, shard := range index["shards"].([]any) {
		entry := shard.(map[string]any)
		name := snapshot.ShardFile(int(entry["number"].(float64)))
		file := r.unpack(name)
		change(file)
		entry["sha256"] = r.pack(name, file)
	}
	change(index)
	return r.pack(snapshot.IndexFile, index)[:32]
}

func (r *rig) unpack(name string) (content map[string]any) {
	r.t.Helper()
	file, err := os.Open(filepath.Join(r.dir, "snapshot", name))
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	reader, err := gzip.NewReader(file)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := json.NewDecoder(reader).Decode(&content); err != nil {
		r.t.Fatal(err)
	}
	return content
}

// pack writes a file and returns the digest of its JSON.
func (r *rig) pack(name string, content map[string]any) (digest string) {
	r.t.Helper()
	plain, err := json.Marshal(content)
	if err != nil {
		r.t.Fatal(err)
	}
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(plain); err != nil {
		r.t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.write(filepath.Join("snapshot", name), packed.Bytes())
	sum := sha256.Sum256(plain)
	return hex.EncodeToString(sum[:])
}

// addToEverything gives every object in the JSON fields that nobody knows.
func addToEverything(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			addToEverything(inner)
		}
		v["future"], v["futures"] = true, []any{map[string]any{"a": 1}, "b"}
	case []any:
		for _, inner := range v {
			addToEverything(inner)
		}
	}
}

// TestTheStoreOfAnEarlierReleaseGoesOn: the first pod of this release brings the schema forward. Nobody is signed out, second factors and suspensions hold, and of the audit log
// nothing is missing.
func TestTheStoreOfAnEarlierReleaseGoesOn(t *testing.T) {
	for _, release := range earlierReleases {
		storetest.Each(t, func(t *testing.T, storeURL string) {
			e := keptEstate(t, earlier(release), storeURL)
			storetest.Load(t, storeURL, filepath.Join(earlier(release), e.database()+".sql"))
			had := e.had(earlier(release))
			now := time.Now()
			// As if people had left just now.
			e.behind(fmt.Sprintf(`UPDATE sessions SET created_at = %d, last_seen_at = %[1]d, expires_at = %d`, now.UnixMicro(), now.Add(time.Hour).UnixMicro()))
			p := e.start()
			dave := e.browser(p)
			dave.Jar = had.jar(t)
			if code := dave.check(p); code != http.StatusOK {
				t.Errorf("dave, who was signed in, gets %d", code)
			}
			if !e.isLetIn(p, "id-of-alice@acme.example", "alice@acme.example", had.Codes[0]) {
				t.Error("alice's second factor opens nothing")
			}
			if got := p.person("alice@acme.example"); got.Profile["department"].Value != "ML" || len(got.Groups) != 2 {
				t.Errorf("alice is %+v", got)
			}
			e.refuses(p, "carol@acme.example")
			log := p.proof()
			p.Stop()
			if report := e.holds(log, time.Now()); !report.OK() || !report.Signed {
				t.Errorf("the audit log is not whole: %+v", report.Findings)
			}
		})
	}
}

// had is what people had in their hands.
func (e *estate) had(folder string) (had belongings) {
	e.t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, e.database()+".json"))
	if err != nil {
		e.t.Fatal(err)
	}
	if err := json.Unmarshal(content, &had); err != nil {
		e.t.Fatal(err)
	}
	return had
}

// jar has the cookies in a browser that is started again.
func (b belongings) jar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var cookies []*http.Cookie
	for name, value := range b.Cookies {
		cookies = append(cookies, &http.Cookie{Name: name, Value: value, Domain: "example.com", Path: "/", Secure: true})
	}
	jar.SetCookies(&url.URL{Scheme: "https", Host: "sso.example.com"}, cookies)
	return jar
}
