package trust

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// maxDuration is what longer durations are cut to: two years, long past every certificate's overlap.
const maxDuration = 2 * 365 * 24 * time.Hour

var errDuration = errors.New("not a duration")

// parseDuration reads an xs:duration (XML Schema 2, 3.2.6) such as P7D or PT1H30M. A year is 365 days and a month is 30; a negative
// duration is none.
func parseDuration(s string) (time.Duration, error) {
	s = strings.Trim(s, " \t\r\n")
	rest, negative := strings.CutPrefix(s, "-")
	rest, ok := strings.CutPrefix(rest, "P")
	if !ok || rest == "" || len(rest) > 64 {
		return 0, errDuration
	}
	date, clock, hasClock := strings.Cut(rest, "T")
	if hasClock && clock == "" {
		return 0, errDuration
	}
	const day = 24 * time.Hour
	total, err := designators(date, "YMD", []time.Duration{365 * day, 30 * day, day})
	if err != nil {
		return 0, err
	}
	seconds, err := designators(clock, "HMS", []time.Duration{time.Hour, time.Minute, time.Second})
	if err != nil {
		return 0, err
	}
	if negative {
		return 0, errDuration
	}
	return min(total+seconds, maxDuration), nil
}

// designators reads numbers that are each followed by one of the letters, in that order. Only seconds may have a fraction.
func designators(s, letters string, units []time.Duration) (time.Duration, error) {
	var total time.Duration
	for s != "" {
		end := strings.IndexAny(s, letters)
		if end < 1 {
			return 0, errDuration
		}
		i := strings.IndexByte(letters, s[end])
		number, fraction, hasFraction := strings.Cut(s[:end], ".")
		if hasFraction && (s[end] != 'S' || !digits(fraction)) || !digits(number) {
			return 0, errDuration
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n > int64(maxDuration/units[i]) {
			n = int64(maxDuration / units[i])
		}
		total = min(total+time.Duration(n)*units[i], maxDuration)
		if hasFraction {
			part, _ := strconv.ParseFloat("0."+fraction, 64)
			total += time.Duration(part * float64(time.Second))
		}
		s, letters, units = s[end+1:], letters[i+1:], units[i+1:]
	}
	return total, nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// parseDateTime reads an xs:dateTime; without a time zone it is UTC (saml-core 1.3.3).
func parseDateTime(s string) (time.Time, error) {
	s = strings.Trim(s, " \t\r\n")
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("not a date and time")
}
