{{/*
What a gateway's chart includes to have Detour in its pods. It depends on this chart with `mode: sidecar` in its values
and hands over the subchart's context, which is nil where a `condition` switched it off:

  {{- with .Subcharts.detour }}
    metadata:
      labels:      {{- include "detour.sidecar.labels" . | nindent 8 }}
      annotations: {{- include "detour.sidecar.annotations" . | nindent 8 }}
    spec:
      {{- include "detour.sidecar.pod" . | nindent 6 }}
      initContainers:
        {{- include "detour.sidecar.container" . | nindent 8 }}
      volumes:
        {{- include "detour.sidecar.volumes" . | nindent 8 }}
  {{- end }}

The gateway finds it at `detour.sidecar.url`.

Starting: the kubelet starts native sidecars first and the gateway's own containers once the startup probe says yes, so
that no request of theirs finds nobody there.

Ending: all containers of a pod share one terminationGracePeriodSeconds. First the gateway's own containers run their
preStop hooks and get SIGTERM; only when all of them have ended does Detour get its SIGTERM, with what is left of the
time. By then nobody is connected any more, so it only writes its store; but where a gateway ends while its exchanges go
on, or dies, Detour waits for them up to drain.seconds. So it must hold that

  terminationGracePeriodSeconds >= sidecar.gatewaySeconds (preStop and draining of the gateway)
                                 + drain.seconds          (draining of Detour)
                                 + 15                     (ending what is left, writing the store)

With the values as they come: 45 + 60 + 15 = 120, which is what `detour.sidecar.pod` sets. Where the gateway takes longer
than it said, Detour is killed while it drains: nothing but the last second of its counts is lost.
*/}}
{{- define "detour.sidecar.container" -}}
- {{ include "detour.container" . | nindent 2 | trim }}
  restartPolicy: Always
{{- end }}

{{- define "detour.sidecar.volumes" -}}
{{ include "detour.store" . }}
{{ include "detour.volumes" . }}
{{- end }}

{{- define "detour.sidecar.annotations" -}}
checksum/detour: {{ include "detour.checksum" . }}
{{- end }}

{{/* By these the PodMonitor finds the gateway's pods. */}}
{{- define "detour.sidecar.labels" -}}
detour/sidecar: {{ include "detour.fullname" . }}
{{- end }}

{{- define "detour.sidecar.gracePeriod" -}}
{{ add .Values.sidecar.gatewaySeconds (include "detour.graceSeconds" . | int) }}
{{- end }}

{{/* Of the pod as a whole. Service links off: a Service called detour would bring DETOUR_PORT and its like. */}}
{{- define "detour.sidecar.pod" -}}
terminationGracePeriodSeconds: {{ include "detour.sidecar.gracePeriod" . }}
enableServiceLinks: false
{{- end }}

{{/* Where the gateway sends provider traffic: this, the provider's name, and the path the provider would see. */}}
{{- define "detour.sidecar.url" -}}
{{ ternary "https" "http" (not (empty .Values.tls.existingSecret)) }}://127.0.0.1:{{ .Values.ports.proxy }}
{{- end }}
