package offline

import (
	"encoding/base64"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// references are the ConfigMaps and Secrets of one namespace that are among the files.
type references struct {
	configMaps, secrets map[string]map[string][]byte
}

func newReferences() *references {
	return &references{configMaps: map[string]map[string][]byte{}, secrets: map[string]map[string][]byte{}}
}

func (r *references) add(d Document) []Problem {
	data := map[string][]byte{}
	if d.Object.GetKind() == "ConfigMap" {
		var configMap corev1.ConfigMap
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(d.Object.Object, &configMap); err != nil {
			return []Problem{d.problem(SeverityError, "Invalid", "", err.Error())}
		}
		for key, value := range configMap.Data {
			data[key] = []byte(value)
		}
		for key, value := range configMap.BinaryData {
			data[key] = value
		}
		r.configMaps[d.Object.GetName()] = data
		return nil
	}
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
	r.secrets[d.Object.GetName()] = data
	return nil
}

// configMap returns the content that the reference in the field names. The error is a *note when the object is not among the files.
func (r *references) configMap(field string, reference v1alpha1.ConfigMapKeyReference, defaultKey string) ([]byte, error) {
	return find(field, "ConfigMap", r.configMaps, string(reference.Name), reference.KeyOr(defaultKey))
}

// secret is configMap for a Secret.
func (r *references) secret(field string, reference v1alpha1.SecretKeyReference, defaultKey string) ([]byte, error) {
	return find(field, "Secret", r.secrets, string(reference.Name), reference.KeyOr(defaultKey))
}

func find(field, kind string, objects map[string]map[string][]byte, name, key string) ([]byte, error) {
	data, ok := objects[name]
	if !ok {
		return nil, &note{field, fmt.Sprintf("%s %s is not among the files: not checked", kind, name)}
	}
	content, ok := data[key]
	if !ok {
		return nil, invalidField(field, "%s %s has no key %q", kind, name, key)
	}
	return content, nil
}
