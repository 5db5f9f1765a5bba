// Package manifests holds what the demonstration puts around Sallyport: an identity provider, an application, and nginx at the edge.
package manifests

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"sallyport.dev/sallyport/hack/demo/edge"
)

//go:embed *.yaml
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{"base64": encode, "indent": Indent}).ParseFS(files, "*.yaml"))

// World is what the templates are told.
type World struct {
	Namespace string
	// PodImage and NginxImage are references.
	PodImage, NginxImage string
	// SSOURL and IdPURL are external.
	SSOURL, IdPURL string
	// EdgeFiles are the files of the edge's configuration folder.
	EdgeFiles map[string]string
}

// EdgeNamespace is where the edge is.
func (w World) EdgeNamespace() string { return w.Namespace + "-edge" }

// EdgeDigest changes with the configuration, so that the edge's pod is replaced then.
func (w World) EdgeDigest() string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(w.EdgeFiles)) {
		fmt.Fprintf(sum, "%s\x00%s\x00", name, w.EdgeFiles[name])
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8])
}

// Render fills one of the files in.
func Render(file string, data any) (string, error) {
	var out bytes.Buffer
	err := templates.ExecuteTemplate(&out, file, data)
	return out.String(), err
}

// Namespaces are that of the World and that of its edge. The API server takes no pod into the former that the restricted Pod Security Standard forbids.
func (w World) Namespaces() (string, error) { return Render("namespaces.yaml", w) }

// TLSSecret is a Secret of type kubernetes.io/tls; ca may be empty.
func TLSSecret(namespace, name string, pair edge.Pair, ca []byte) (string, error) {
	return Render("tls-secret.yaml", map[string]any{"Namespace": namespace, "Name": name, "Pair": pair, "CA": ca})
}

func encode(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// Indent indents a text's lines for a YAML block.
func Indent(by int, text string) string {
	pad := strings.Repeat(" ", by)
	return pad + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+pad)
}
