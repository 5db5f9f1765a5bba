#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (10m each), two for each processor at once, at the lowest priority, and says how often each was executed. TARGETS is a regular
# expression of names. What fails is written to testdata/fuzz of its package: commit it with the repair.
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"

# time_was_up tells whether the target $2 failed, by its log $1, for nothing but the end of its time: Go takes that for a failure when it comes in the middle of an
# execution. An input that was being made smaller then was a failure all the same.
time_was_up() {
	[ "$(grep -a -A 2 "^--- FAIL: $2 (" "$1" | tail -n +2)" = $'    context deadline exceeded\nFAIL' ] && ! grep -qa 'failing input file\|^failure while testing seed' "$1"
}

# stood_still tells whether nothing was executed for 3 s and more when the time was up. Go takes an input for one that hangs after 10 s: one that began in the last 10 s is
# killed without a word.
stood_still() { [ "$(grep -a '^fuzz: elapsed.* execs:' "$1" | tail -n 2 | grep -c '(0/sec)')" = 2 ]; }

# fuzz runs the target $2 of the package $1. One that stood still gets its time once more: perhaps the machine did.
fuzz() {
	local log
	log=$(mktemp)
	trap 'rm -f "$log"' RETURN
	for _ in first second; do
		# Making an interesting message of many kilobytes smaller would take a minute each without a bound.
		if ! nice -n 19 go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "${FUZZTIME:-10m}" -fuzzminimizetime 100x -parallel 1 >"$log" 2>&1 && ! time_was_up "$log" "$2"; then
			echo "$1 $2 failed:"
			tail -n 40 "$log"
			return 1
		fi
		if ! stood_still "$log"; then
			echo "$1 $2: $(grep -a '^fuzz: elapsed' "$log" | tail -n 1)"
			return
		fi
	done
	echo "$1 $2 hangs: nothing was executed any more when its time was up, twice:"
	tail -n 10 "$log"
	return 1
}
export -f fuzz time_was_up stood_still

git grep -E "^func Fuzz" -- "*_test.go" | sed -E 's/^(.*)\/[^/]+:func (Fuzz[A-Za-z0-9_]+).*/.\/\1 \2/' | { grep -E " .*(${TARGETS:-.})" || true; } |
	xargs -P "$((2 * $(nproc)))" -L 1 bash -c 'fuzz "$@"' fuzz
