{{- define "stt-worker.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "stt-worker.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stt-worker.labels" -}}
{{ include "stt-worker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "stt-worker.stateful" -}}
{{- if eq .Values.kind "statefulset" }}true{{ end }}
{{- end }}

{{- define "stt-worker.settings" -}}
{{- $settings := dict "TMP_DIR" "/tmp/stt" }}
{{- if include "stt-worker.stateful" . }}
{{- $_ := set $settings "DELIVERY_GUARANTEE" "exactly-once" }}
{{- $_ := set $settings "KAFKA_CONF_SESSION_TIMEOUT_MS" "120000" }}
{{- end }}
{{- if eq .Values.model.source "image" }}
{{- $_ := set $settings "MODEL_SIZE" "/models/model" }}
{{- $_ := set $settings "HF_HUB_OFFLINE" "1" }}
{{- toYaml (merge $settings .Values.settings) }}
{{- else }}
{{- toYaml (merge (deepCopy .Values.settings) $settings) }}
{{- end }}
{{- end }}
