# Makes a table of `go test -v`: a row for each test and for each part of one that has figures, with what it logged last. Ends with an error when one failed, and when none
# has run in one of the packages, which is a list of patterns like ./test/replicas and ./internal/session/...
/^=== (RUN|NAME|CONT|PAUSE) / { test = $3 }
/^ +[a-z_]+_test\.go:[0-9]+: / { line = $0; sub(/^ +[a-z_]+_test\.go:[0-9]+: /, "", line); gsub(/\|/, "/", line); said[test] = line }
/^ *--- (PASS|FAIL|SKIP): / {
	whole = !/^ /; result = substr($2, 1, 4); name = $3; time = substr($4, 2, length($4) - 2)
	if (result != "PASS") { failed = failed || result == "FAIL" }
	if (whole && result != "SKIP") inPackage++
	if (whole || name in said) {
		if (!head++) print "| test | result | time | figures |\n|---|---|---|---|"
		shown = name; if (!whole) { sub(/^[^\/]*\//, "… ", shown); gsub(/_/, " ", shown) }
		print "| " shown " | " result " | " time " | " said[name] " |"
	}
}
/^FAIL|panic:/ { failed = 1 }
/^(ok|FAIL|\?)[ ]*\t/ { ran[$2] = inPackage; inPackage = 0 }
END {
	n = split(packages, patterns, " ")
	for (i = 1; i <= n; i++) {
		path = patterns[i]; below = sub(/\/\.\.\.$/, "", path); sub(/^\./, "", path); tests = 0
		for (name in ran) if ((at = index(name "/", path "/")) && (below || at + length(path) > length(name))) tests += ran[name]
		if (!tests) { print "no test has run in " patterns[i] > "/dev/stderr"; failed = 1 }
	}
	exit failed
}
