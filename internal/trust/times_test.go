package trust

import (
	"testing"
	"time"
)

func TestExpiryThresholds(t *testing.T) {
	end := testNow
	for _, c := range []struct {
		left time.Duration
		days int
		due  bool
		next time.Duration // before the end
	}{
		{91 * day, 0, false, 90 * day},
		{90*day + time.Second, 0, false, 90 * day},
		{90 * day, 90, true, 30 * day},
		{31 * day, 90, true, 30 * day},
		{30 * day, 30, true, 7 * day},
		{8 * day, 30, true, 7 * day},
		{7 * day, 7, true, 0},
		{time.Second, 7, true, 0},
	} {
		now := end.Add(-c.left)
		if days, due := ExpiryThreshold(end, now); days != c.days || due != c.due {
			t.Errorf("%v left: %d %v, want %d %v", c.left, days, due, c.days, c.due)
		}
		if next := NextExpiryThreshold(end, now); !next.Equal(end.Add(-c.next)) {
			t.Errorf("%v left: next at %v", c.left, next)
		}
	}
	if days, due := ExpiryThreshold(end, end); days != 0 || !due {
		t.Errorf("at the end: %d %v", days, due)
	}
	if next := NextExpiryThreshold(end, end.Add(time.Hour)); !next.IsZero() {
		t.Errorf("after the end: %v", next)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PT1H": time.Hour, "P1D": day, "PT90M": 90 * time.Minute, "P1DT2H3M4.5S": day + 2*time.Hour + 3*time.Minute + 4500*time.Millisecond,
		"P1Y": 365 * day, "P2M": 60 * day, "PT0S": 0, " PT6H\n": 6 * time.Hour, "P99999999999999999999Y": maxDuration, "P1Y11M9999D": maxDuration,
		"PT0.0000000001S": 0,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "P", "PT", "1H", "P1H", "PT1D", "P1DT", "-PT1H", "PT1.5H", "PT1M1H", "P 1D", "PT1", "PT.5S", "PT1.S", "P1.D", "P-1D", "PT1H1H"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestDatesAndTimes(t *testing.T) {
	want := time.Date(2026, 12, 31, 10, 30, 0, 0, time.UTC)
	for _, text := range []string{"2026-12-31T10:30:00Z", "2026-12-31T10:30:00", "2026-12-31T12:30:00+02:00", " 2026-12-31T10:30:00.000Z "} {
		if got, err := parseDateTime(text); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2026-12-31", "tomorrow", "2026-13-31T10:30:00Z"} {
		if got, err := parseDateTime(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestTimesBetweenRefreshes(t *testing.T) {
	for name, c := range map[string]struct {
		interval, cache, valid, want time.Duration
		random                       float64
	}{
		"the user's":               {interval: 2 * time.Hour, want: 2 * time.Hour},
		"default":                  {want: time.Hour},
		"spread":                   {interval: time.Hour, random: 0.5, want: 57 * time.Minute},
		"a shorter cacheDuration":  {interval: time.Hour, cache: 10 * time.Minute, want: 10 * time.Minute},
		"a longer cacheDuration":   {interval: time.Hour, cache: 24 * time.Hour, want: time.Hour},
		"an impatient one":         {interval: time.Hour, cache: time.Second, want: time.Minute},
		"validUntil comes near":    {interval: 24 * time.Hour, valid: 10 * time.Hour, want: 5 * time.Hour},
		"validUntil is nearly now": {interval: 24 * time.Hour, valid: time.Second, want: time.Minute},
		"validUntil far away":      {interval: time.Hour, valid: 1000 * time.Hour, want: time.Hour},
	} {
		m := &Metadata{CacheDuration: c.cache}
		if c.valid > 0 {
			m.ValidUntil = testNow.Add(c.valid)
		}
		if got := afterSuccess(c.interval, m, testNow, c.random); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for name, c := range map[string]struct {
		failures int
		interval time.Duration
		good     bool
		retry    time.Duration
		want     time.Duration
	}{
		"the first":                        {1, time.Hour, true, 0, 30 * time.Second},
		"the third":                        {3, time.Hour, true, 0, 2 * time.Minute},
		"the thousandth":                   {1000, time.Hour, true, 0, time.Hour},
		"nothing good yet":                 {1000, time.Hour, false, 0, 5 * time.Minute},
		"the server asks for time":         {1, time.Hour, true, 10 * time.Minute, 10 * time.Minute},
		"the server asks for a week":       {1, time.Hour, true, 7 * day, time.Hour},
		"an interval shorter than a retry": {5, 10 * time.Second, true, 0, 30 * time.Second},
	} {
		if got := afterFailure(c.failures, c.interval, c.good, c.retry, 0); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
