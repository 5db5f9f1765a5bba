# Makes a table of `go test -v`: a row for each test, with what it logged last. Tests may run side by side. Ends with an error when one failed.
/^=== (RUN|CONT|NAME) / { at = $3; sub(/\/.*/, "", at) }
/^ +[a-z_]+_test\.go:[0-9]+: / { said[at] = $0; sub(/^ +[a-z_]+_test\.go:[0-9]+: /, "", said[at]); gsub(/\|/, "/", said[at]) }
/^--- (PASS|FAIL|SKIP): / { if (!head++) print "| test | result | time | figures |\n|---|---|---|---|"; print "| " $3 " | " substr($2, 1, 4) " | " substr($4, 2, length($4) - 2) " | " said[$3] " |"; if ($2 == "FAIL:") failed = 1 }
/^FAIL|panic:/ { failed = 1 }
END { exit failed }
