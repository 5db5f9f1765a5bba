package trust

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// durationPattern is xs:duration (XML Schema part 2, 3.2.6) without a sign.
var durationPattern = regexp.MustCompile(`^P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9})(?:\.\d+)?S)?)?$`)

// parseDuration reads an xs:duration; a year counts 365 days and a month 30.
func parseDuration(text string) (time.Duration, error) {
	match := durationPattern.FindStringSubmatch(text)
	if match == nil || len(text) < 3 || text[len(text)-1] == 'T' {
		return 0, fmt.Errorf("%q is not a duration such as PT6H", clip(text))
	}
	const day = 24 * time.Hour
	var total time.Duration
	for i, unit := range []time.Duration{365 * day, 30 * day, day, time.Hour, time.Minute, time.Second} {
		if match[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(match[i+1], 10, 64)
		if err != nil {
			return 0, err
		}
		total += min(time.Duration(n), 100*365*day/unit) * unit
	}
	return total, nil
}
