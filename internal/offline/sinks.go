package offline

import (
	"fmt"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/trust"
)

// sinks finds what the audit sinks refer to. A sink whose Secret is not among the files is left out, and that is noted.
func sinks(sp *v1alpha1.ServiceProvider, found *references) (map[string]compile.ResolvedSink, []note) {
	resolved := map[string]compile.ResolvedSink{}
	var notes []note
	for i, s := range sp.Spec.Audit.Sinks {
		one, err := sink(fmt.Sprintf("spec.audit.sinks[%d]", i), s, found)
		switch problem := err.(type) {
		case nil:
			resolved[string(s.Name)] = one
		case *note:
			notes = append(notes, *problem)
		default:
			resolved[string(s.Name)] = compile.ResolvedSink{Reason: v1alpha1.ReasonReferenceNotFound, Message: problem.Error()}
		}
	}
	return resolved, notes
}

func sink(field string, s v1alpha1.AuditSink, found *references) (out compile.ResolvedSink, err error) {
	secret, fallback, ca := compile.SinkReferences(s)
	if secret != nil {
		if out.Secret, err = found.secret(field, *secret, fallback); err != nil {
			return out, err
		}
	}
	switch {
	case ca == nil:
	case ca.ConfigMapRef != nil:
		out.CABundle, err = found.configMap(field+".caBundle", *ca.ConfigMapRef, v1alpha1.DefaultCAKey)
	case ca.SecretRef != nil:
		out.CABundle, err = found.secret(field+".caBundle", *ca.SecretRef, v1alpha1.DefaultCAKey)
	}
	if err == nil && ca != nil {
		if _, problem := trust.ParsePEM(string(out.CABundle)); problem != nil {
			return compile.ResolvedSink{Reason: v1alpha1.ReasonInvalidCertificate, Message: fmt.Sprintf("%s.caBundle: %v", field, problem)}, nil
		}
	}
	return out, err
}
