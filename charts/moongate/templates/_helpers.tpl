{{/* Names and labels. */}}

{{- define "moongate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Suffixes such as -controller-headless are added: 40 characters leave room within 63. */}}
{{- define "moongate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "moongate.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "moongate.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "moongate.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* What never changes in a release, since a Deployment's selector may not. Takes (root, component). */}}
{{- define "moongate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "moongate.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "moongate.labels" -}}
helm.sh/chart: {{ include "moongate.chart" .root }}
{{ include "moongate.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "moongate.name" .root }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Takes (root, component). */}}
{{- define "moongate.account" -}}
{{- $account := (get .root.Values .component).serviceAccount -}}
{{- $own := printf "%s-%s" (include "moongate.fullname" .root) .component -}}
{{- default (ternary $own "default" $account.create) $account.name -}}
{{- end -}}

{{- define "moongate.image" -}}
{{- $image := .Values.image -}}
{{- $name := printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- with $image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- with $image.digest }}{{ $name = printf "%s@%s" $name . }}{{ end -}}
{{- $name -}}
{{- end -}}

{{/* The address that ports are opened on, as it stands before a port. */}}
{{- define "moongate.listen" -}}
{{- if contains ":" .Values.listenAddress -}}
{{- printf "[%s]" .Values.listenAddress -}}
{{- else -}}
{{- .Values.listenAddress -}}
{{- end -}}
{{- end -}}

{{/* The Secret that cert-manager fills. */}}
{{- define "moongate.certificateSecret" -}}
{{- printf "%s-serving-tls" (include "moongate.fullname" .) -}}
{{- end -}}

{{/* The namespaces that are watched, as JSON; none means all. */}}
{{- define "moongate.watched" -}}
{{- $scope := .Values.controller.scope -}}
{{- $names := list -}}
{{- if $scope.enabled -}}
{{- with $scope.namespace }}{{ $names = append $names . }}{{ end -}}
{{- $names = concat $names $scope.namespaces | uniq -}}
{{- if not $names }}{{ $names = list (include "moongate.namespace" .) }}{{ end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* The Service whose address Ingresses get, as namespace/name; empty for none. */}}
{{- define "moongate.publishService" -}}
{{- $publish := .Values.controller.publishService -}}
{{- if and $publish.enabled (not .Values.controller.publishAddresses) (not .Values.controller.publishNodeAddresses) -}}
{{- if $publish.pathOverride -}}
{{- $publish.pathOverride -}}
{{- else if .Values.dataplane.service.enabled -}}
{{- printf "%s/%s" (include "moongate.namespace" .) (include "moongate.fullname" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
