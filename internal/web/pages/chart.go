package pages

import (
	"fmt"
	"time"
)

// Chart is sign-ins and refused responses per hour, drawn as SVG.
type Chart struct {
	Title             string
	SignIns, Failures int
	Bars              []Bar
	// Most is the highest bar.
	Most int
}

// Bar is one hour: two rectangles on top of each other, in the units of the drawing, whose height is ChartHeight.
type Bar struct {
	X, GoodY, GoodHeight, BadY, BadHeight int
	Hour                                  string
	SignIns, Failures                     int
}

// The units of the drawing.
const (
	ChartHeight = 100
	barWidth    = 20
	barGap      = 6
)

// NewChart draws one number of sign-ins and of failures for each hour.
func NewChart(title string, first time.Time, signIns, failures []int) Chart {
	c := Chart{Title: title, Most: 1}
	for i := range signIns {
		c.SignIns, c.Failures = c.SignIns+signIns[i], c.Failures+failures[i]
		c.Most = max(c.Most, signIns[i]+failures[i])
	}
	height := func(n int) int {
		if n == 0 {
			return 0
		}
		return max(2, n*ChartHeight/c.Most)
	}
	for i := range signIns {
		good, bad := height(signIns[i]), height(failures[i])
		good = min(good, ChartHeight-bad)
		c.Bars = append(c.Bars, Bar{
			X: i * (barWidth + barGap), GoodY: ChartHeight - good, GoodHeight: good, BadY: ChartHeight - good - bad, BadHeight: bad,
			Hour: first.Add(time.Duration(i) * time.Hour).UTC().Format("15:04"), SignIns: signIns[i], Failures: failures[i],
		})
	}
	return c
}

// Width of the drawing.
func (c Chart) Width() int { return max(1, len(c.Bars)*(barWidth+barGap)-barGap) }

// BarWidth is the width of each bar.
func (Chart) BarWidth() int { return barWidth }

// Height of the drawing.
func (Chart) Height() int { return ChartHeight }

// Busy are the hours in which anything happened, for people who read rather than look.
func (c Chart) Busy() []Bar {
	var out []Bar
	for _, b := range c.Bars {
		if b.SignIns+b.Failures > 0 {
			out = append(out, b)
		}
	}
	return out
}

// Summary says what the drawing shows.
func (c Chart) Summary() string {
	return fmt.Sprintf("%s and %d refused in the last %d hours", count(c.SignIns, "sign-in", "sign-ins"), c.Failures, len(c.Bars))
}
