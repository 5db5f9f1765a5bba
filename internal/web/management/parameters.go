package management

import (
	"net/http"
	"strconv"
	"time"
)

const (
	// maxWait bounds a long poll; defaultWait is without a timeout parameter.
	maxWait     = 30 * time.Second
	defaultWait = 5 * time.Second
	// pageSize is without a limit parameter, maxPageSize the most that one may ask for.
	pageSize    = 100
	maxPageSize = 1000
)

// limit reads the page size; absent means fallback.
func limit(r *http.Request, fallback, most int) (int, error) {
	given := r.URL.Query().Get("limit")
	if given == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || n > most {
		return 0, status(http.StatusBadRequest, "limit %q is not a number from 1 to %d", given, most)
	}
	return n, nil
}

// duration reads how long to wait; absent means fallback, and more than maxWait means maxWait.
func duration(r *http.Request, name string, fallback time.Duration) (time.Duration, error) {
	given := r.URL.Query().Get(name)
	if given == "" {
		return fallback, nil
	}
	parsed, err := time.ParseDuration(given)
	if err != nil || parsed < 0 {
		return 0, status(http.StatusBadRequest, "%s %q is not a duration such as 5s", name, given)
	}
	return min(parsed, maxWait), nil
}

func moment(r *http.Request, name string) (time.Time, error) {
	given := r.URL.Query().Get(name)
	if given == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, given)
	if err != nil {
		return time.Time{}, status(http.StatusBadRequest, "%s %q is not a time in RFC 3339, such as 2026-11-23T10:00:00Z", name, given)
	}
	return t, nil
}
