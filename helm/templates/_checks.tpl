{{/* What no single value can be wrong about. Each line says what is wrong and what to set. */}}
{{- define "detour.checks" -}}
{{- $v := .Values -}}
{{- $sidecar := eq $v.mode "sidecar" -}}
{{- if eq (int $v.ports.proxy) (int $v.ports.admin) }}
{{- fail "ports.admin: must differ from ports.proxy" }}
{{- end }}
{{- if and $sidecar (semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version) }}
{{- fail (printf "mode: sidecar needs Kubernetes 1.29 or newer (native sidecar containers), this is %s" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- if and $sidecar $v.networkPolicy.enabled }}
{{- fail "networkPolicy.enabled: a policy for a sidecar is one for the gateway's pods, and so belongs to the gateway's chart" }}
{{- end }}
{{- if and $sidecar $v.autoscaling.enabled }}
{{- fail "autoscaling.enabled: a sidecar is scaled with its gateway" }}
{{- end }}
{{- if and $sidecar $v.monitor.enabled (eq $v.monitor.kind "ServiceMonitor") }}
{{- fail "monitor.kind: must be PodMonitor with mode: sidecar, there is no Service" }}
{{- end }}
{{- if gt (len (compact (list $v.store.url $v.store.existingSecret $v.store.existingClaim (ternary "redis" "" $v.redis.enabled)))) 1 }}
{{- fail "store: only one of store.url, store.existingSecret, store.existingClaim and redis.enabled" }}
{{- end }}
{{- if and $v.store.existingClaim (or $sidecar $v.autoscaling.enabled (ne (int $v.replicas) 1)) }}
{{- fail "store.existingClaim: a SQLite file is one pod's alone; set replicas: 1 without autoscaling, or share a Redis" }}
{{- end }}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) }}
{{- fail "autoscaling.maxReplicas: must be at least autoscaling.minReplicas" }}
{{- end }}
{{- if gt (float64 $v.prometheusRule.healthCritical) (float64 $v.prometheusRule.healthWarning) }}
{{- fail "prometheusRule.healthCritical: must not be above prometheusRule.healthWarning: health falls" }}
{{- end }}
{{- if and $v.tls.clientCa (not $v.tls.existingSecret) }}
{{- fail "tls.clientCa: needs tls.existingSecret" }}
{{- end }}
{{- with $v.terminationGracePeriodSeconds }}
{{- $least := add $v.preStopSeconds (include "detour.graceSeconds" $ | int) }}
{{- if lt (int64 .) (int64 $least) }}
{{- fail (printf "terminationGracePeriodSeconds: must be at least %d: preStopSeconds + drain.seconds + 15" $least) }}
{{- end }}
{{- end }}
{{- if and (not $sidecar) (or $v.secrets.env $v.secrets.files) (not $v.secrets.envFrom) }}
{{- $named := list }}
{{- range $v.extraEnv }}{{ $named = append $named .name }}{{ end }}
{{- if not (or $v.clientToken.existingSecret $v.config.open $v.tls.clientCa (hasKey $v.config "client_token") (hasKey $v.secrets.env "DETOUR_CLIENT_TOKEN") (has "DETOUR_CLIENT_TOKEN" $named)) }}
{{- fail "clientToken.existingSecret: whoever reaches the Service would spend the providers' keys; set it, or config.open: true" }}
{{- end }}
{{- end }}
{{- end }}
