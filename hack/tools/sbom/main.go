// Command sbom writes the software bill of materials of Go programs, in SPDX 2.3 as JSON, from what the linker wrote into them: what is in the
// bill is what is in the bytes, whatever go.mod says by now. The same programs, version and time give the same bill.
//
//	sbom -version v1.2.3 -commit 0123abc -created 2026-01-02T03:04:05Z -o dist/sallyport.spdx.json bin/operator bin/serviceprovider
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
)

func main() {
	var b bill
	output := flag.String("o", "sallyport.spdx.json", "file to write")
	flag.StringVar(&b.version, "version", "dev", "version of the programs")
	flag.StringVar(&b.commit, "commit", "unknown", "revision that they were built from")
	created := flag.String("created", "1970-01-01T00:00:00Z", "when, in RFC 3339: that of the commit makes two bills equal")
	flag.Parse()
	if err := run(&b, *created, *output, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(b *bill, created, output string, programs []string) error {
	at, err := time.Parse(time.RFC3339, created)
	if err != nil {
		return err
	}
	b.created = at.UTC()
	if len(programs) == 0 {
		return fmt.Errorf("name at least one program")
	}
	for _, path := range programs {
		if err := b.add(path); err != nil {
			return err
		}
	}
	var out bytes.Buffer
	if err := spdxjson.Write(b.document(), &out, spdxjson.Indent("  ")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil {
		return err
	}
	return os.WriteFile(output, out.Bytes(), 0o644)
}
