{{- define "gvList" -}}
# Reference of the custom resources

Made from `api/v1alpha1` by `make docs-reference`. Every kind is namespaced and in the category `sso`: `kubectl get sso` shows them all.
A complete set is in [config/samples](../../config/samples). `kubectl explain idp.spec.saml` shows the same text in a terminal, and `kubectl sso lint` checks manifests against it without a cluster.
{{ range . }}
{{- $gv := . }}
{{- $kinds := list "ServiceProvider" "IdentityProvider" "DomainBinding" "AttributeMapping" }}
| kind | what it is |
| --- | --- |
{{- range $kinds }}
{{- $kind := $gv.TypeForKind . }}
| {{ markdownRenderTypeLink $kind }} | {{ markdownRenderFieldDoc $kind.Doc }} |
{{- end }}
{{- range $kinds }}
{{- template "kind" ($gv.TypeForKind .) }}
{{- end }}

## Types
{{- range $gv.SortedTypes }}
{{- if and (markdownShouldRenderType .) (not .GVK) }}
{{- template "type" . }}
{{- end }}
{{- end }}
{{- end }}
{{ end -}}

{{- define "kind" }}

## {{ .Name }}

{{ .Doc }}

    apiVersion: {{ .GVK.Group }}/{{ .GVK.Version }}
    kind: {{ .GVK.Kind }}
{{ range .Members }}
{{- if ne .Name "metadata" }}
- `{{ .Name }}`: {{ markdownRenderTypeLink .Type }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "type" }}

### {{ .Name }}

{{ .Doc }}
{{- $rules := without .Validation "" }}
{{- if and .IsAlias $rules (not .EnumValues) }}
{{ range $rules }}
- {{ template "rule" . }}
{{- end }}
{{- end }}
{{- if .Members }}

| field | what it is | default | rules |
| --- | --- | --- | --- |
{{- range .Members }}
| `{{ .Name }}` {{ template "typeName" .Type }} | {{ markdownRenderFieldDoc .Doc }} | {{ markdownRenderDefault .Default }} | {{ range $i, $r := .Validation }}{{ if not (hasPrefix "Optional" $r) }}{{ template "rule" $r }}; {{ end }}{{ end }}|
{{- end }}
{{- end }}
{{- if .EnumValues }}
{{ range .EnumValues }}
- `{{ .Name }}`{{ if .Doc }}: {{ markdownRenderFieldDoc .Doc }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "rule" -}}
{{- if hasPrefix "Required" . }}**required**{{ else if hasPrefix "Pattern" . }}`{{ markdownRenderFieldDoc . | replace "`" "" }}`{{ else }}{{ markdownRenderFieldDoc . | replace "`" "" }}{{ end -}}
{{- end -}}

{{- /* Bytes are text in a manifest. */}}
{{- define "typeName" -}}
{{- if and .UnderlyingType (has .UnderlyingType.Name (list "byte" "uint8")) }}string in base64{{ else }}{{ markdownRenderType . }}{{ end -}}
{{- end -}}
