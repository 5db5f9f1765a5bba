#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (10m each), two for each processor at once, at the lowest priority, and says how often each was executed. TARGETS is a regular
# expression of names. What fails is written to testdata/fuzz of its package: commit it with the repair.
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"

# fuzz runs the target $2 of the package $1. Go takes the end of the time for a failure when it comes in the middle of an execution: then there is no input of it.
fuzz() {
	local log
	log=$(mktemp)
	trap 'rm -f "$log"' RETURN
	# Making an interesting message of many kilobytes smaller would take a minute each without a bound.
	if nice -n 19 go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "${FUZZTIME:-10m}" -fuzzminimizetime 100x -parallel 1 >"$log" 2>&1 ||
		{ grep -qa 'context deadline exceeded' "$log" && ! grep -qa 'Failing input' "$log"; }; then
		echo "$1 $2: $(grep -a 'execs:' "$log" | tail -n 1)"
	else
		echo "$1 $2 failed:"
		tail -n 40 "$log"
		return 1
	fi
}
export -f fuzz

git grep -E "^func Fuzz" -- "*_test.go" | sed -E 's/^(.*)\/[^/]+:func (Fuzz[A-Za-z0-9_]+).*/.\/\1 \2/' | { grep -E " .*(${TARGETS:-.})" || true; } |
	xargs -P "$((2 * $(nproc)))" -L 1 bash -c 'fuzz "$@"' fuzz
