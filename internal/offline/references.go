package offline

import (
	"context"
	"encoding/base64"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sallyport.dev/sallyport/internal/resolve"
)

// references are the contents of the ConfigMaps and Secrets of one namespace that are among the files, by kind and name.
type references map[string]map[string][]byte

// Contents implements resolve.Source.
func (r references) Contents(_ context.Context, kind, name string) (map[string][]byte, error) {
	data, ok := r[kind+"/"+name]
	if !ok {
		return nil, resolve.ErrAbsent
	}
	return data, nil
}

func (r references) add(d Document) []Problem {
	id := d.Object.GetKind() + "/" + d.Object.GetName()
	if d.Object.GetKind() == "ConfigMap" {
		var configMap corev1.ConfigMap
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(d.Object.Object, &configMap); err != nil {
			return []Problem{d.problem(SeverityError, "Invalid", "", err.Error())}
		}
		r[id] = resolve.ConfigMapContents(&configMap)
		return nil
	}
	data := map[string][]byte{}
	// Not by conversion: its errors would print the value.
	for section, decode := range map[string]func(string) ([]byte, error){
		"data":       base64.StdEncoding.DecodeString,
		"stringData": func(s string) ([]byte, error) { return []byte(s), nil },
	} {
		values, _ := d.Object.Object[section].(map[string]any)
		for key, value := range values {
			text, isText := value.(string)
			decoded, err := decode(text)
			if !isText || err != nil {
				return []Problem{d.problem(SeverityError, "Invalid", section+"."+key, "must be text, and base64 in data")}
			}
			if _, overridden := data[key]; !overridden || section == "stringData" {
				data[key] = decoded
			}
		}
	}
	r[id] = data
	return nil
}

// noteOfAbsent says that the object of a reference is not among the files.
func noteOfAbsent(ref *resolve.Reference) note {
	return note{ref.Field, fmt.Sprintf("%s %s is not among the files: not checked", ref.Kind, ref.Name)}
}
