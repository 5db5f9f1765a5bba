#!/usr/bin/env bash
# Runs every fuzz target, one after another, for FUZZTIME each (10m), on one core at the lowest priority, and says how often each was
# executed. TARGETS is a regular expression of names. What fails is written to testdata/fuzz of its package: commit it with the repair.
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"
failed=0
while IFS=: read -r file name; do
	grep -qE "${TARGETS:-.}" <<<"$name" || continue
	package=./$(dirname "$file")
	# Making an interesting message of many kilobytes smaller would take a minute each without a bound.
	log=$(mktemp)
	if nice -n 19 go test "$package" -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-10m}" -fuzzminimizetime 100x -parallel 1 >"$log" 2>&1; then
		echo "$package $name: $(grep -a 'execs:' "$log" | tail -n 1)"
	else
		failed=1
		echo "$package $name failed:"
		tail -n 40 "$log"
	fi
	rm -f "$log"
done < <(git grep -E "^func Fuzz" -- "*_test.go" | sed -E "s/^([^:]+):func (Fuzz[A-Za-z0-9_]+).*/\1:\2/")
exit $failed
