package replicas

import (
	"net/http"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// failoverTime is how long after the promotion of the standby every pod must be ready again, and sign people in.
const failoverTime = 15 * time.Second

// TestPostgreSQLFailsOver kills the primary of two servers under two processes that check and sign people in, and promotes the standby. No check fails, nobody is
// turned away but while the store is down, nothing that was acknowledged is lost, and the processes find the new primary by themselves: the URI names both.
func TestPostgreSQLFailsOver(t *testing.T) {
	pair, storeURL := storetest.PairFor(t)
	r := newRig(t, storeURL)
	replicas := []*replica{r.start(), r.start()}
	var fronts []*front
	for _, p := range replicas {
		fronts = append(fronts, &front{pods: []*replica{p}})
	}
	load := r.load(fronts...)
	load.signedIn(t, 5)

	noLonger := load.mayFail(http.StatusServiceUnavailable)
	if err := pair.KillPrimary(); err != nil {
		t.Fatal(err)
	}
	for _, p := range replicas {
		await.Until(t, "readiness tells that the store is away", func() bool { return p.probe("/readyz") == http.StatusServiceUnavailable })
	}
	if err := pair.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	promoted := time.Now()
	for _, p := range replicas {
		await.Until(t, "the replica is ready again", func() bool { return p.probe("/readyz") == http.StatusOK })
	}
	took := time.Since(promoted)
	noLonger()
	if took > failoverTime {
		t.Errorf("ready %s after the promotion, and not within %s", took, failoverTime)
	}
	load.signedIn(t, 5)
	checks, acknowledged := load.end(t)
	db := r.store()
	users := r.holdsTogether(db, acknowledged)
	r.verifyAudit(db)
	t.Logf("%d checks, 0 failed; %d sign-ins acknowledged, 0 lost, of %d users; ready %s after the promotion", checks, len(acknowledged), len(users), took.Round(time.Millisecond))
}
