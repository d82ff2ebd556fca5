{{- define "detour.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters, so that what is appended to it stays within the 63 of a name. */}}
{{- define "detour.fullname" -}}
{{- $name := include "detour.name" . -}}
{{- $made := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{ .Values.fullnameOverride | default $made | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "detour.selector" -}}
app.kubernetes.io/name: {{ include "detour.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "detour.labels" -}}
{{ include "detour.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "detour.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "detour.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "detour.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* Seconds from the end of the pod's preStop hook to its last breath: draining, and 15 to end what is left and write. */}}
{{- define "detour.graceSeconds" -}}
{{ add .Values.drain.seconds 15 }}
{{- end }}
