package storetest

import (
	"database/sql"
	"os"
	"strings"
	"testing"
)

// Load runs the SQL in a file on a database that nobody has open.
func Load(tb testing.TB, storeURL, file string) {
	tb.Helper()
	script, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	driver, name := "pgx", storeURL
	if path, isSQLite := strings.CutPrefix(storeURL, "sqlite://"); isSQLite {
		driver, name = "sqlite", path
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(tb.Context(), string(script)); err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
}
