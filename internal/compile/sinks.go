package compile

import (
	"slices"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

// ResolvedSink is what an audit sink's references lead to.
type ResolvedSink struct {
	// Secret is the key of a webhook or the token of a collector.
	Secret []byte
	// CABundle is PEM.
	CABundle []byte
	// Reason and Message say why there is none; the message names the field. Both are empty when all is well.
	Reason, Message string
}

// sinks puts the audit sinks into the settings. One whose references cannot be read stays as it last was, or is left out where it never was: a sink that is not in
// the snapshot loses its place.
func (p *pass) sinks(f *Finding, sp *v1alpha1.ServiceProvider) []snapshot.AuditSink {
	var out []snapshot.AuditSink
	for _, s := range sp.Spec.Audit.Sinks {
		resolved, known := p.in.Sinks[string(s.Name)]
		switch {
		case !known:
		case resolved.Reason != "":
			f.set(v1alpha1.ConditionAccepted, "False", resolved.Reason, "%s", resolved.Message)
			if last := p.previousSink(string(s.Name)); last != nil {
				out = append(out, *last)
			}
		default:
			out = append(out, sinkOf(s, resolved))
		}
	}
	slices.SortFunc(out, func(a, b snapshot.AuditSink) int { return compareNames(a.Name, b.Name) })
	return out
}

func (p *pass) previousSink(name string) *snapshot.AuditSink {
	if p.in.Previous == nil {
		return nil
	}
	last := p.in.Previous.ServiceProvider.AuditSinks
	if i := slices.IndexFunc(last, func(s snapshot.AuditSink) bool { return s.Name == name }); i >= 0 {
		return &last[i]
	}
	return nil
}

// The types are those that internal/audit/sink makes senders of.
func sinkOf(s v1alpha1.AuditSink, resolved ResolvedSink) snapshot.AuditSink {
	out := snapshot.AuditSink{Name: string(s.Name), Format: string(or(s.Format, v1alpha1.AuditFormatNative)), Secret: resolved.Secret, CABundle: resolved.CABundle}
	switch {
	case s.Webhook != nil:
		out.Type, out.Endpoint = "Webhook", string(s.Webhook.URL)
	case s.Syslog != nil:
		out.Type, out.Endpoint = "Syslog", s.Syslog.Address
	case s.OTLP != nil:
		out.Type, out.Endpoint = "OTLP", string(s.OTLP.URL)
	}
	return out
}
