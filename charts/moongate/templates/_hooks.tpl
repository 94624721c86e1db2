{{/* What Helm runs at some point in a release's life. */}}

{{/* Takes (event, weight): lower weights come first. */}}
{{- define "moongate.hook" -}}
helm.sh/hook: {{ .event }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* A Job with an account of its own that has these rights for as long as it runs. Takes (root, name, component, event,
     scope: "" or "Cluster", rules, args, resources, deadlineSeconds). */}}
{{- define "moongate.hook.job" -}}
{{- $namespace := include "moongate.namespace" .root -}}
{{- $name := .name -}}
{{- $role := printf "%sRole" .scope -}}
{{- $context := dict "root" .root "component" .component "part" dict -}}
{{- range $kind := list "ServiceAccount" $role (printf "%sBinding" $role) }}
---
apiVersion: {{ ternary "v1" "rbac.authorization.k8s.io/v1" (eq $kind "ServiceAccount") }}
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  {{- if not (hasPrefix "Cluster" $kind) }}
  namespace: {{ $namespace }}
  {{- end }}
  labels:
    {{- include "moongate.labels" $context | nindent 4 }}
  annotations:
    {{- include "moongate.hook" (dict "event" $.event "weight" -10) | nindent 4 }}
{{- if eq $kind "ServiceAccount" }}
automountServiceAccountToken: false
{{- else if eq $kind $role }}
rules:
  {{- $.rules | nindent 2 }}
{{- else }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $role }}
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ $name }}
    namespace: {{ $namespace }}
{{- end }}
{{- end }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  namespace: {{ $namespace }}
  labels:
    {{- include "moongate.labels" $context | nindent 4 }}
  annotations:
    {{- include "moongate.hook" (dict "event" .event "weight" 0) | nindent 4 }}
spec:
  backoffLimit: 3
  activeDeadlineSeconds: {{ .deadlineSeconds }}
  ttlSecondsAfterFinished: 3600
  template:
    metadata:
      labels:
        {{- include "moongate.selectorLabels" $context | nindent 8 }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: true
      {{- include "moongate.pod.placement" (dict "root" .root "part" .root.Values.controller) | indent 6 }}
      securityContext:
        {{- include "moongate.pod.securityContext" .root.Values.controller | nindent 8 }}
      containers:
        - name: {{ .component }}
          image: {{ include "moongate.image" .root | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: {{ toJson .args }}
          securityContext:
            {{- include "moongate.container.securityContext" .root.Values.controller | nindent 12 }}
          resources:
            {{- toYaml .resources | nindent 12 }}
{{- end -}}
