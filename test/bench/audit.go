package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
)

func init() {
	suites = append(suites, suite{"audit", "1,000,000 audit records: export from the service provider, and verification of the file", auditSuite})
}

const (
	auditRecords = 1_000_000
	auditWriters = 4
	// auditFew is how many are exported before the memory is looked at for the first time, and auditPart how many come before the stream is broken off and asked
	// for again from its cursor.
	auditFew, auditPart = 10_000, 250_000
)

// auditSuite fills a store through the program's own writing, exports it from a real service provider, and verifies the file with the real kubectl-sso.
func auditSuite(ctx context.Context, _ options) ([]Result, error) {
	dir, err := os.MkdirTemp("", "sallyport-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	begin := time.Now()
	if err := fillAudit(ctx, dir); err != nil {
		return nil, fmt.Errorf("writing records: %w", err)
	}
	results := []Result{{Name: "writing them to SQLite, 500 in a transaction", Value: auditRecords / time.Since(begin).Seconds(), Unit: "records/s"}}
	p, err := startOn(dir, benchSnapshot(), "--audit-key-file", filepath.Join(dir, "audit.pem"), "--audit-writer", "pod-0")
	if err != nil {
		return nil, err
	}
	defer p.stop()
	exported, err := exportAudit(ctx, p, filepath.Join(dir, "audit.ndjson"))
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	p.peerProcess.stop()
	verified, err := verifyAudit(ctx, filepath.Join(dir, "audit.ndjson"))
	if err != nil {
		return nil, fmt.Errorf("verification: %w", err)
	}
	return slices.Concat(results, exported, verified), nil
}

// fillAudit writes sign-ins of several pods in turns, each with a chain of its own that it seals every 1,000 records. One pod at a time has the file open.
func fillAudit(ctx context.Context, dir string) error {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "audit.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	signer, err := audit.NewSigner(key)
	if err != nil {
		return err
	}
	const turns, batch = 5, 500
	for turn := range turns * auditWriters {
		pod := fmt.Sprintf("pod-%d", turn%auditWriters)
		db, err := store.Open(ctx, "sqlite://"+filepath.Join(dir, "store.db"), store.Options{AuditWriter: pod, Signer: signer})
		if err != nil {
			return err
		}
		for i := range auditRecords / turns / auditWriters / batch {
			if err = db.WriteAudit(ctx, auditBatch(turn, i, batch)...); err != nil {
				break
			}
		}
		if err == nil {
			err = db.SealAudit(ctx, true)
		}
		if err = errors.Join(err, db.Close()); err != nil {
			return err
		}
	}
	return nil
}

// auditBatch are sign-ins as the service provider records them.
func auditBatch(turn, of, n int) []audit.Record {
	batch := make([]audit.Record, n)
	for i := range batch {
		email := fmt.Sprintf("person-%d@acme.example", (turn*1000+of)*n+i)
		batch[i] = audit.Record{Type: audit.TypeUserSignedInSAML, Session: fmt.Sprintf("%064x", i), Request: "7F3K-9Q2M",
			Actor:   audit.Actor{Kind: audit.ActorUser, ID: audit.NewID(time.Now()), Email: email, IP: "203.0.113.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"},
			Target:  audit.Target{Kind: audit.KindUser, Name: email},
			Details: audit.SignIn{IdP: "okta", MatchedBy: "subject"}}
	}
	return batch
}

// exportAudit writes what `kubectl sso audit export --file` writes, and measures the process that it comes from.
func exportAudit(ctx context.Context, p *serviceProviderProcess, file string) ([]Result, error) {
	if err := writeAuditProof(ctx, p, file+".proof"); err != nil {
		return nil, err
	}
	out, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	idle := p.peakMemory()
	begin, total, position := time.Now(), 0, map[string]uint64{}
	var few float64
	for most := auditFew; ; most = auditPart {
		n, err := exportPart(ctx, p, position, most, out)
		if err != nil {
			return nil, err
		}
		if total += n; few == 0 {
			few = p.peakMemory()
		}
		if n < most {
			break
		}
	}
	took, all := time.Since(begin), p.peakMemory()
	if total < auditRecords {
		return nil, fmt.Errorf("%d records came", total)
	}
	return []Result{
		{Name: fmt.Sprintf("export of %d records, broken off and gone on with %d times", total, total/auditPart+1), Value: took.Seconds(), Unit: "s"},
		{Name: "export", Value: float64(total) / took.Seconds(), Unit: "records/s"},
		{Name: "service provider, most memory before", Value: idle / 1e6, Unit: "MB"},
		{Name: fmt.Sprintf("service provider, most memory after %d records", auditFew), Value: few / 1e6, Unit: "MB"},
		{Name: "service provider, most memory after all of them", Value: all / 1e6, Unit: "MB", Against: fmt.Sprintf("%d records", auditFew), Ratio: all / few},
	}, out.Close()
}

// exportPart takes at most so many records beyond a position, moves that on, and breaks the stream off.
func exportPart(ctx context.Context, p *serviceProviderProcess, position map[string]uint64, most int, out io.Writer) (n int, err error) {
	from, err := json.Marshal(map[string]any{"after": position})
	if err != nil {
		return 0, err
	}
	response, err := p.manage(ctx, http.MethodPost, "/v1/audit/export", bytes.NewReader(from))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines, w := bufio.NewScanner(response.Body), bufio.NewWriter(out)
	lines.Buffer(nil, 1<<20)
	for n < most && lines.Scan() {
		n++
		if _, err := w.Write(append(lines.Bytes(), '\n')); err != nil {
			return n, err
		}
		var r struct {
			Writer   string
			Sequence uint64
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return n, err
		}
		position[r.Writer] = r.Sequence
	}
	return n, errors.Join(lines.Err(), w.Flush())
}

// writeAuditProof writes what `kubectl sso audit proof` prints.
func writeAuditProof(ctx context.Context, p *serviceProviderProcess, file string) error {
	proof := map[string]json.RawMessage{}
	for _, path := range []string{"/v1/audit/keys", "/v1/audit/heads"} {
		response, err := p.manage(ctx, http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		err = json.NewDecoder(response.Body).Decode(&proof)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
	}
	content, err := json.Marshal(proof)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}

func (p *serviceProviderProcess) manage(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+p.management+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+benchToken)
	response, err := http.DefaultClient.Do(request)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.Join(fmt.Errorf("%s: %s", path, response.Status), response.Body.Close())
	}
	return response, err
}

// verifyAudit runs `kubectl sso audit verify FILE` as its own process.
func verifyAudit(ctx context.Context, file string) ([]Result, error) {
	command := exec.CommandContext(ctx, filepath.Join("bin", "kubectl-sso"), "audit", "verify", file, "-o", "json")
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, os.Stderr
	begin := time.Now()
	err := command.Run()
	took := time.Since(begin)
	if err != nil {
		return nil, fmt.Errorf("%w: %.2000s", err, out.String())
	}
	var report audit.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return nil, err
	}
	if report.Records < auditRecords || !report.OK() || !report.Signed || len(report.Writers) != auditWriters {
		return nil, fmt.Errorf("verified %d records of %d writers, %d faults", report.Records, len(report.Writers), report.Faults)
	}
	usage, _ := command.ProcessState.SysUsage().(*syscall.Rusage)
	if usage == nil {
		usage = &syscall.Rusage{}
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("kubectl sso audit verify FILE, %d records and %d checkpoints of %d writers, %d MB", report.Records, report.Checkpoints, len(report.Writers), info.Size()/1e6)
	return []Result{
		{Name: what, Value: took.Seconds(), Unit: "s"},
		{Name: "the same", Value: float64(report.Records) / took.Seconds(), Unit: "records/s"},
		{Name: "processor time of it", Value: (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds(), Unit: "s"},
		{Name: "most memory of it", Value: float64(usage.Maxrss) * 1024 / 1e6, Unit: "MB"},
	}, nil
}
