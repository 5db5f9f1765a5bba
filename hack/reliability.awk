# Makes a table of `go test -v`: a row for each test and for each part of one that has figures, with what it logged last. Ends with an error when one failed.
/^=== (RUN|NAME|CONT|PAUSE) / { test = $3 }
/^ +[a-z_]+_test\.go:[0-9]+: / { line = $0; sub(/^ +[a-z_]+_test\.go:[0-9]+: /, "", line); gsub(/\|/, "/", line); said[test] = line }
/^ *--- (PASS|FAIL|SKIP): / {
	whole = !/^ /; result = substr($2, 1, 4); name = $3; time = substr($4, 2, length($4) - 2)
	if (result != "PASS") { failed = failed || result == "FAIL" }
	if (whole || name in said) {
		if (!head++) print "| test | result | time | figures |\n|---|---|---|---|"
		shown = name; if (!whole) { sub(/^[^\/]*\//, "… ", shown); gsub(/_/, " ", shown) }
		print "| " shown " | " result " | " time " | " said[name] " |"
	}
}
/^FAIL|panic:/ { failed = 1 }
END { exit failed }
