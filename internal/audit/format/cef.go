package format

import (
	"encoding/json"
	"fmt"
	"strings"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/version"
)

var (
	cefHeader    = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\n", " ", "\r", " ")
	cefExtension = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`)
)

// cefSeverity maps 1..4 to CEF's 0..10.
var cefSeverity = [...]int{1: 2, 2: 5, 3: 7, 4: 9}

// cef writes version 0: CEF:0|vendor|product|version|class|name|severity|extension.
func cef(r audit.Record) []byte {
	var b strings.Builder
	name := r.Type.String()
	fmt.Fprintf(&b, "CEF:0|Sallyport|Sallyport|%s|%s|%s|%d|", cefHeader.Replace(version.Version), cefHeader.Replace(name), cefHeader.Replace(strings.ReplaceAll(name, "_", " ")), cefSeverity[severity(r)])
	first := true
	add := func(key, value string) {
		if value == "" {
			return
		}
		if !first {
			b.WriteByte(' ')
		}
		first = false
		b.WriteString(key + "=" + cefExtension.Replace(value))
	}
	// A label and its value, as CEF has it for what has no key of its own.
	custom := func(n int, label, value string) {
		if value != "" {
			add(fmt.Sprintf("cs%dLabel", n), label)
			add(fmt.Sprintf("cs%d", n), value)
		}
	}
	add("rt", fmt.Sprint(r.Time.UnixMilli()))
	add("externalId", r.ID)
	add("outcome", string(r.Outcome))
	add("reason", r.Reason)
	add("cat", string(r.Tier))
	add("src", r.Actor.IP)
	add("suser", or(r.Actor.Email, r.Actor.ID))
	add("requestClientApplication", r.Actor.UserAgent)
	if r.Target.Kind == audit.KindUser {
		add("duser", or(r.Target.Name, r.Target.UID))
	}
	custom(1, "target", strings.Trim(r.Target.Kind+"/"+r.Target.Namespace+"/"+r.Target.Name, "/"))
	custom(2, "request", r.Request)
	custom(3, "writer", r.Writer)
	custom(4, "hash", r.Hash)
	if d, ok := r.Details.(json.RawMessage); ok {
		custom(5, "details", string(d))
	}
	if many := counted(r); many.Count > 0 {
		add("cnt", fmt.Sprint(many.Count))
		add("start", fmt.Sprint(millis(many.First)))
		add("end", fmt.Sprint(millis(many.Last)))
	}
	add("cn1Label", "sequence")
	add("cn1", fmt.Sprint(r.Sequence))
	return []byte(b.String())
}
