{{/* The parts of Detour's container that are the same in a Deployment, in a sidecar and in a test pod. */}}
{{- define "detour.image.fields" -}}
image: {{ include "detour.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.runAsUser }}
  runAsUser: {{ . | int64 }}
  runAsGroup: {{ . | int64 }}
  {{- end }}
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Secrets come as variables; one whose name is in `extraEnv` too is that of `extraEnv`, which stands last. */}}
{{- define "detour.env" -}}
{{- $env := list -}}
{{- range $name, $from := .Values.secrets.env }}
{{- $env = append $env (dict "name" $name "from" $from.secret "key" $from.key) }}
{{- end }}
{{- with .Values.adminToken }}{{ if .existingSecret }}
{{- $env = append $env (dict "name" "DETOUR_ADMIN_TOKEN" "from" .existingSecret "key" .key) }}
{{- end }}{{ end }}
{{- with .Values.clientToken }}{{ if .existingSecret }}
{{- $env = append $env (dict "name" "DETOUR_CLIENT_TOKEN" "from" .existingSecret "key" .key) }}
{{- end }}{{ end }}
{{- with .Values.store }}{{ if .existingSecret }}
{{- $env = append $env (dict "name" "DETOUR_STORE" "from" .existingSecret "key" .key) }}
{{- end }}{{ end }}
{{- with .Values.secrets.envFrom }}
envFrom:
  {{- range . }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
{{- if or $env .Values.extraEnv }}
env:
  {{- range $env }}
  - name: {{ .name }}
    valueFrom: {secretKeyRef: {name: {{ .from }}, key: {{ .key | quote }}}}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* No subPath anywhere: what is mounted by it never changes in a running pod. */}}
{{- define "detour.mounts" -}}
- {name: detour-config, mountPath: /etc/detour, readOnly: true}
{{- range .Values.secrets.files }}
- {name: detour-secret-{{ . | replace "." "-" }}, mountPath: /run/secrets/{{ . }}, readOnly: true}
{{- end }}
{{- if .Values.tls.existingSecret }}
- {name: detour-tls, mountPath: /run/tls/proxy, readOnly: true}
{{- end }}
{{- if .Values.adminTls.existingSecret }}
- {name: detour-admin-tls, mountPath: /run/tls/admin, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "detour.volumes" -}}
- name: detour-config
  configMap: {name: {{ include "detour.fullname" . }}}
{{- range .Values.secrets.files }}
- name: detour-secret-{{ . | replace "." "-" }}
  secret: {secretName: {{ . }}}
{{- end }}
{{- with .Values.tls.existingSecret }}
- name: detour-tls
  secret: {secretName: {{ . }}}
{{- end }}
{{- with .Values.adminTls.existingSecret }}
- name: detour-admin-tls
  secret: {secretName: {{ . }}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The one folder that is written to. */}}
{{- define "detour.store" -}}
- name: detour-store
  {{- if .Values.store.existingClaim }}
  persistentVolumeClaim: {claimName: {{ .Values.store.existingClaim }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .Values.store.sizeLimit }}}
  {{- end }}
{{- end }}

{{- define "detour.container" -}}
{{- $scheme := ternary "HTTPS" "HTTP" (not (empty .Values.adminTls.existingSecret)) -}}
name: detour
{{ include "detour.image.fields" . }}
args: [serve, -c, /etc/detour/detour.yaml]
ports:
  {{- if eq .Values.mode "deployment" }}
  - {name: proxy, containerPort: {{ .Values.ports.proxy }}}
  {{- end }}
  - {name: detour-admin, containerPort: {{ .Values.ports.admin }}}
{{- with include "detour.env" . }}
{{- . }}
{{- end }}
{{- range $kind, $path := dict "startup" "/readyz" "liveness" "/livez" "readiness" "/readyz" }}
{{ $kind }}Probe:
  httpGet: {path: {{ $path }}, port: detour-admin, scheme: {{ $scheme }}}
  {{- toYaml (get $.Values.probes $kind) | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - {name: detour-store, mountPath: /var/lib/detour}
  {{- include "detour.mounts" . | nindent 2 }}
{{- end }}
