{{- define "sallyport.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What selects the operator's pods. It never changes: a Deployment's selector cannot. */}}
{{- define "sallyport.selector" -}}
app.kubernetes.io/name: sallyport
app.kubernetes.io/component: operator
{{- end -}}

{{- define "sallyport.labels" -}}
{{ include "sallyport.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Whether the policy that stamps the user's name is installed: Auto asks the API server whether it has the kind, which comes with Kubernetes 1.36. */}}
{{- define "sallyport.changedBy" -}}
{{- $wanted := .Values.admission.changedBy -}}
{{- or (eq $wanted "Enabled") (and (eq $wanted "Auto") (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy")) -}}
{{- end -}}

{{/* The objects of a file under files/, which are copies of config/, in the release's namespace and with its labels. */}}
{{- define "sallyport.objects" -}}
{{- $root := .root }}
{{- range splitList "\n---\n" ($root.Files.Get .path | replace "sallyport-system" $root.Release.Namespace) }}
{{- $object := fromYaml . }}
{{- if and (eq $object.kind "ValidatingAdmissionPolicyBinding") (hasPrefix "identity-provider-in-use" $object.metadata.name) (eq $root.Values.admission.identityProviderInUse "Warn") }}
{{- $_ := set $object.spec "validationActions" (list "Warn" "Audit") }}
{{- end }}
---
{{ mergeOverwrite $object (dict "metadata" (dict "labels" (include "sallyport.labels" $root | fromYaml))) | toYaml }}
{{- end }}
{{- end -}}
