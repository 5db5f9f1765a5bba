package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/manageapi"
)

// proof is what records are held against: where the chains ended at a time, and the keys that signed their checkpoints.
type proof struct {
	Time time.Time `json:"time"`
	// Since and Until bound the part of the log that it is of; empty: it is of the whole log.
	Since string      `json:"since,omitempty"`
	Until string      `json:"until,omitempty"`
	Heads []chainEnds `json:"heads"`
	manageapi.AuditKeys
}

type chainEnds struct {
	audit.Head
	// First is the first record that retention has left, or that is of the part.
	First uint64 `json:"first"`
}

func (p *proof) options() (audit.VerifyOptions, error) {
	o := audit.VerifyOptions{Whole: true, Beginning: true}
	for _, k := range p.Keys {
		if len(k.PublicKey) != ed25519.PublicKeySize {
			return o, fmt.Errorf("the key %s of the proof is not an Ed25519 public key", k.ID)
		}
		o.Keys = append(o.Keys, k.PublicKey)
	}
	for _, h := range p.Heads {
		o.Heads = append(o.Heads, h.Head)
	}
	if p.part() {
		o.Whole, o.Beginning, o.Firsts = false, false, map[string]uint64{}
		for _, h := range p.Heads {
			o.Firsts[h.Writer] = h.First
		}
	}
	return o, nil
}

func (p *proof) part() bool { return p.Since != "" || p.Until != "" }

// proof asks for the ends and the keys of now.
func (s served) proof(ctx context.Context) (*proof, error) { return s.proofOf(ctx, nil) }

// proofOf asks for those of the part that an export is of.
func (s served) proofOf(ctx context.Context, query url.Values) (*proof, error) {
	p := &proof{Time: time.Now().UTC(), Since: query.Get("since"), Until: query.Get("until")}
	if err := s.Get(ctx, "/audit/keys", nil, &p.AuditKeys); err != nil {
		return nil, err
	}
	return p, s.heads(ctx, query, p)
}

// heads asks for the ends of now, and where retention has left the chains to begin.
func (s served) heads(ctx context.Context, query url.Values, p *proof) error {
	p.Heads = nil
	return s.Get(ctx, "/audit/heads", query, p)
}

func writeProof(file string, p *proof) error {
	var content bytes.Buffer
	if err := printIndented(&content, p); err != nil {
		return err
	}
	return os.WriteFile(file, content.Bytes(), 0o600)
}

func (a *app) auditProof() *cobra.Command {
	c := &cobra.Command{
		Use: "proof", Short: "Print the ends of the chains and the public keys, to keep elsewhere",
		Long:    "Print where every chain ends now, and the public keys that verify checkpoints. Kept where nobody who can write to the store can, it proves later that nothing up to now was removed or changed: `kubectl sso audit verify --proof FILE`.",
		Example: "  kubectl sso audit proof > proof-$(date +%F).json",
		Args:    exactly(),
		RunE: func(command *cobra.Command, _ []string) error {
			return a.open(command, func(s served) error {
				p, err := s.proof(command.Context())
				if err != nil {
					return err
				}
				return printIndented(command.OutOrStdout(), p)
			})
		},
	}
	a.pickServiceProvider(c.Flags())
	return c
}

func (a *app) auditVerify() *cobra.Command {
	var from, proofFile, output string
	var partial bool
	c := &cobra.Command{
		Use: "verify [FILE|- ...]", Short: "Find any change, removal, insertion, reorder or truncation of records",
		Long: `Recompute the hash chains and check the signed checkpoints: in the store, or, with files, in what was exported or delivered to a sink.
Files are held against FILE.proof, which ` + "`kubectl sso audit export --file FILE`" + ` writes, or against --proof; without either, the keys come from the
ServiceProvider, and a chain that was cut off at its end is found only where a checkpoint of another names its end. Each chain must begin
with its first record, or where a signed record of the retention says; with --partial the files may begin anywhere, as those of a sink that was named later do.

Exit code: 0 no gaps and no changes, 1 something was found, with its place.`,
		Example: "  kubectl sso audit verify\n  kubectl sso audit verify --since 90d\n  kubectl sso audit verify audit.ndjson\n  kubectl sso audit verify --proof proof-2026-11-23.json",
		RunE: func(command *cobra.Command, args []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			start, err := since("--since", from, time.Now())
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if from != "" {
					return errors.New("--since is for the store: files are verified whole")
				}
				return a.verifyFiles(command, args, proofFile, output, partial)
			}
			if partial {
				return errors.New("--partial is for files: the store is verified whole, or from --since on")
			}
			return a.open(command, func(s served) error { return verifyStore(command, s, start, proofFile, output) })
		},
	}
	a.pickServiceProvider(c.Flags())
	c.Flags().StringVar(&from, "since", "", "begin with the records of then: a duration such as 90d, or a time")
	c.Flags().StringVar(&proofFile, "proof", "", "`file` that kubectl sso audit proof has printed, from a place that can be trusted")
	c.Flags().BoolVar(&partial, "partial", false, "the files are a part of the log: say nothing of what came before them, or of writers that are not in them")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func readProof(file string) (*proof, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := &proof{}
	if err := json.Unmarshal(content, p); err != nil {
		return nil, fmt.Errorf("%s is not a proof (%w): `kubectl sso audit proof` prints one", file, err)
	}
	return p, nil
}

func (a *app) verifyFiles(command *cobra.Command, files []string, proofFile, output string, partial bool) error {
	var all []io.Reader
	for _, file := range files {
		if file == "-" {
			all = append(all, command.InOrStdin())
			continue
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		all = append(all, f)
	}
	if proofFile == "" && len(files) == 1 {
		if _, err := os.Stat(files[0] + ".proof"); err == nil {
			proofFile = files[0] + ".proof"
		}
	}
	options := audit.VerifyOptions{}
	said := scope{unproven: []string{"that nothing is missing before the first and after the last record of each writer in the files", "that no other writer is missing"}, ends: true}
	switch {
	case proofFile != "":
		p, err := readProof(proofFile)
		if err != nil {
			return err
		}
		if options, err = p.options(); err != nil {
			return err
		}
		options.OpenEnd = true
		if partial {
			options.Whole, options.Beginning, options.Heads, options.Firsts = false, false, nil, nil
		} else {
			said = p.scope()
		}
	default:
		err := a.open(command, func(s served) error {
			p, err := s.proof(command.Context())
			if err == nil {
				options, err = p.options()
			}
			options.Heads, options.Whole, options.Beginning, options.OpenEnd = nil, false, false, true
			return err
		})
		if err != nil {
			return fmt.Errorf("the keys that verify checkpoints are not known; name a proof with --proof, or let the ServiceProvider tell: %w", err)
		}
	}
	return report(command, io.MultiReader(all...), options, said, output)
}

// reach has the ends of older chains read, too, where a kept proof knows of writers that the part has nothing of: what it knows must be there.
func (p *proof) reach(kept []audit.Head, whole *proof) {
	of := func(writer string) func(chainEnds) bool { return func(e chainEnds) bool { return e.Writer == writer } }
	for _, h := range kept {
		if slices.ContainsFunc(p.Heads, of(h.Writer)) {
			continue
		}
		end := h.Sequence
		if i := slices.IndexFunc(whole.Heads, of(h.Writer)); i >= 0 {
			end = max(end, whole.Heads[i].Sequence)
		}
		p.Heads = append(p.Heads, chainEnds{Head: audit.Head{Writer: h.Writer, Sequence: end}, First: h.Sequence})
	}
}

// verifyStore reads every chain up to its end of now, while the store goes on.
func verifyStore(command *cobra.Command, s served, start time.Time, proofFile, output string) error {
	ctx := command.Context()
	part := url.Values{}
	if !start.IsZero() {
		part.Set("since", start.UTC().Format(time.RFC3339))
	}
	now, err := s.proofOf(ctx, part)
	if err != nil {
		return err
	}
	options, err := now.options()
	if err != nil {
		return err
	}
	options.Now, options.Live = time.Now(), true
	if proofFile != "" {
		kept, err := readProof(proofFile)
		if err != nil {
			return err
		}
		// What is trusted are the kept keys and ends; those of the store itself must go on from there.
		trusted, err := kept.options()
		if err != nil {
			return err
		}
		options.Keys, options.Heads = trusted.Keys, append(options.Heads, trusted.Heads...)
		whole := &proof{}
		if err := s.heads(ctx, nil, whole); err != nil {
			return err
		}
		now.reach(trusted.Heads, whole)
	}
	reader, writer := io.Pipe()
	go func() {
		chains := &chainReader{served: s, out: writer, part: part, read: map[string]uint64{}, progress: newProgress(command.ErrOrStderr())}
		writer.CloseWithError(chains.whole(ctx, now))
	}()
	said := scope{}
	if !start.IsZero() {
		said.unproven = []string{"anything about records from before " + at(start) + ": they were not read"}
	}
	err = report(command, reader, options, said, output)
	reader.CloseWithError(io.ErrClosedPipe)
	return err
}

// report verifies and says what was found.
func report(command *cobra.Command, stream io.Reader, o audit.VerifyOptions, said scope, output string) error {
	r, err := audit.Verify(stream, o)
	if err != nil {
		return err
	}
	out, unproven := command.OutOrStdout(), said.notProved(r)
	if output == "json" {
		if err := printIndented(out, judged{r, unproven}); err != nil {
			return err
		}
	} else {
		for _, f := range r.Findings {
			fmt.Fprintln(out, clean(f.String()))
		}
		result := "no gaps, no changes"
		if !r.OK() {
			result = plural(int(r.Faults), "fault", "faults") + " found"
		}
		if r.Repeated > 0 {
			result += fmt.Sprintf(" (%d came twice, byte for byte)", r.Repeated)
		}
		fmt.Fprintf(out, "verified %s of %s, %s: %s\n", plural(int(r.Records), "record", "records"), plural(len(r.Writers), "writer", "writers"), plural(int(r.Checkpoints), "checkpoint", "checkpoints"), result)
		if r.OK() && said.proved != "" {
			fmt.Fprintln(out, "proved: "+clean(said.proved))
		}
		for _, what := range unproven {
			fmt.Fprintln(out, "not proved: "+clean(what))
		}
	}
	if !r.Signed {
		fmt.Fprintln(command.ErrOrStderr(), "no key is known, so no checkpoint was verified: whoever can write to the log could have rewritten all of it")
	}
	if !r.OK() {
		return errFindings
	}
	return nil
}
