{{/* What the Pods of both components have in common. Each takes (root, part, component), where part is the component's values. */}}

{{- define "moongate.pod.securityContext" -}}
{{- $default := dict
  "runAsNonRoot" true
  "runAsUser" 65532
  "runAsGroup" 65532
  "fsGroup" 65532
  "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- toYaml (default $default .podSecurityContext) -}}
{{- end -}}

{{- define "moongate.container.securityContext" -}}
{{- $default := dict
  "allowPrivilegeEscalation" false
  "readOnlyRootFilesystem" true
  "capabilities" (dict "drop" (list "ALL")) -}}
{{- toYaml (default $default .securityContext) -}}
{{- end -}}

{{- define "moongate.pod.metadata" -}}
# No version in these labels: an upgrade that changes nothing of a Pod replaces none.
labels:
  {{- include "moongate.selectorLabels" . | nindent 2 }}
  {{- with .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .part.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .part.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where the Pods run. */}}
{{- define "moongate.pod.placement" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Spread over these topology keys where that is possible. */}}
{{- define "moongate.pod.spread" -}}
{{- $context := . -}}
topologySpreadConstraints:
{{- if .part.topologySpreadConstraints }}
{{- $own := dict "matchLabels" (include "moongate.selectorLabels" . | fromYaml) }}
{{- range .part.topologySpreadConstraints }}
  {{- toYaml (list (merge (deepCopy .) (hasKey . "labelSelector" | ternary dict (dict "labelSelector" $own)))) | nindent 2 }}
{{- end }}
{{- else }}
{{- range .keys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "moongate.selectorLabels" $context | nindent 8 }}
    # Only Pods of one version are weighed: those that are being replaced do not count.
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end -}}

{{/* `--name=value` of extraArgs. */}}
{{- define "moongate.extraArgs" -}}
{{- range $name, $value := . }}
{{- if kindIs "slice" $value }}
{{- range $value }}
- {{ printf "--%s=%v" $name . | quote }}
{{- end }}
{{- else if eq (toString $value) "" }}
- {{ printf "--%s" $name | quote }}
{{- else }}
- {{ printf "--%s=%v" $name $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A probe of the admin port: (probe, path, defaults). */}}
{{- define "moongate.probe" -}}
{{- if .probe }}
{{- toYaml .probe }}
{{- else -}}
httpGet:
  path: {{ .path }}
  port: metrics
{{ toYaml .defaults }}
{{- end }}
{{- end -}}

{{- define "moongate.podDisruptionBudget" -}}
{{- $budget := .part.podDisruptionBudget }}
{{- if $budget.enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "moongate.fullname" .root }}-{{ .component }}
  namespace: {{ include "moongate.namespace" .root }}
  labels:
    {{- include "moongate.labels" . | nindent 4 }}
spec:
  selector:
    matchLabels:
      {{- include "moongate.selectorLabels" . | nindent 6 }}
  {{- if ne (toString $budget.minAvailable) "" }}
  minAvailable: {{ $budget.minAvailable }}
  {{- else }}
  maxUnavailable: {{ $budget.maxUnavailable }}
  {{- end }}
  unhealthyPodEvictionPolicy: {{ $budget.unhealthyPodEvictionPolicy }}
{{- end }}
{{- end -}}

{{- define "moongate.serviceAccount" -}}
{{- if .part.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "moongate.account" . }}
  namespace: {{ include "moongate.namespace" .root }}
  labels:
    {{- include "moongate.labels" . | nindent 4 }}
  {{- with .part.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# A Pod that needs a token says so itself.
automountServiceAccountToken: false
{{- end }}
{{- end -}}

{{- define "moongate.metricsService" -}}
{{- if .root.Values.metrics.enabled }}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "moongate.fullname" .root }}-{{ .component }}-metrics
  namespace: {{ include "moongate.namespace" .root }}
  labels:
    {{- include "moongate.labels" . | nindent 4 }}
    moongate.dev/metrics: "true"
    {{- with .root.Values.metrics.service.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .root.Values.metrics.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  clusterIP: None
  # What is not ready is what one wants to see.
  publishNotReadyAddresses: true
  selector:
    {{- include "moongate.selectorLabels" . | nindent 4 }}
  ports:
    - name: metrics
      port: 9090
      targetPort: metrics
      protocol: TCP
{{- end }}
{{- end -}}
