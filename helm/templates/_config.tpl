{{/* The configuration file. What the chart adds is laid over what the values say: its schema refuses those keys there. */}}
{{- define "detour.config" -}}
{{- $full := include "detour.fullname" . -}}
{{- $sidecar := eq .Values.mode "sidecar" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "listen" (printf "%s:%v" (ternary "127.0.0.1" "" $sidecar) .Values.ports.proxy) -}}
{{- $admin := merge (dict "listen" (printf ":%v" .Values.ports.admin)) ($config.admin | default dict) -}}
{{- with .Values.adminTls.existingSecret }}
{{- $_ := set $admin "tls" (dict "cert" "/run/tls/admin/tls.crt" "key" "/run/tls/admin/tls.key") -}}
{{- end }}
{{- $_ := set $config "admin" $admin -}}
{{- if not $sidecar }}
{{- $inside := printf "%s.%s" $full .Release.Namespace -}}
{{- $svc := printf "%s.svc" $inside -}}
{{- $hosts := list $full $inside $svc (printf "%s.%s" $svc .Values.clusterDomain) -}}
{{- $_ := set $config "hosts" (concat $hosts ($config.hosts | default list) | uniq) -}}
{{- end }}
{{- with .Values.tls }}{{- if .existingSecret }}
{{- $tls := dict "cert" "/run/tls/proxy/tls.crt" "key" "/run/tls/proxy/tls.key" -}}
{{- if .clientCa }}{{ $_ := set $tls "client_ca" "/run/tls/proxy/ca.crt" }}{{ end -}}
{{- $_ := set $config "tls" $tls -}}
{{- end }}{{ end }}
{{- if .Values.redis.enabled }}
{{- $_ := set $config "store" (printf "redis://%s-redis:6379" $full) -}}
{{- else if .Values.store.url }}
{{- $_ := set $config "store" .Values.store.url -}}
{{- else if not .Values.store.existingSecret }}
{{- $_ := set $config "store" "sqlite:////var/lib/detour/detour.db" -}}
{{- end }}
{{- $drain := merge (dict "timeout" (printf "%vs" .Values.drain.seconds)) ($config.drain | default dict) -}}
{{- if not $sidecar }}
{{- $drain = merge $drain (dict "linger" (printf "%ds" (min .Values.drain.seconds 5))) -}}
{{- end }}
{{- $_ := set $config "drain" $drain -}}
{{ toYaml $config }}
{{- end }}

{{/* What changes with everything that a running process cannot take over; with all of the file where that is wanted. */}}
{{- define "detour.checksum" -}}
{{- $config := include "detour.config" . -}}
{{- if eq .Values.configChange "rollout" -}}
{{ sha256sum $config }}
{{- else -}}
{{- $parsed := fromYaml $config -}}
{{- $fixed := list $parsed.listen $parsed.admin.listen $parsed.store $parsed.tls $parsed.admin.tls -}}
{{ $fixed | toJson | sha256sum }}
{{- end -}}
{{- end }}
