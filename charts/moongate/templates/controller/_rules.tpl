{{/* The controller's rights. Chart tests compare them with a table: whoever adds one there says what it is for. */}}

{{/* What it does in the namespaces that it watches. */}}
{{- define "moongate.rules.namespaced" -}}
# What routes are made of.
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
- apiGroups: [moongate.dev]
  resources: [luaplugins, luapluginbindings]
  verbs: [list, watch]
# It watches Secrets of type kubernetes.io/tls and those labelled moongate.dev/lua-readable, and reads others, and
# ConfigMaps, where an object names them. Kubernetes cannot grant less than all of them.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get, list, watch]
# What it says about them.
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
- apiGroups: [moongate.dev]
  resources: [luaplugins/status, luapluginbindings/status]
  verbs: [patch]
{{ include "moongate.rules.events" . }}
{{- end -}}

{{/* An Event that happens again is read and patched. */}}
{{- define "moongate.rules.events" -}}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, get, patch]
{{- end -}}

{{/* What is in no namespace. */}}
{{- define "moongate.rules.cluster" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
- apiGroups: [moongate.dev]
  resources: [clusterluaplugins, clusterluapluginbindings, moongateconfigs]
  verbs: [list, watch]
- apiGroups: [moongate.dev]
  resources: [clusterluaplugins/status, clusterluapluginbindings/status, moongateconfigs/status]
  verbs: [patch]
# Who a data plane is that connects.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- if and .Values.controller.admissionWebhooks.enabled (not .Values.certManager.enabled) }}
# The CA of its own certificate.
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations]
  resourceNames: [{{ include "moongate.fullname" . }}]
  verbs: [get, patch]
{{- end }}
{{- if and .Values.controller.publishNodeAddresses .Values.controller.updateStatus }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
{{- end }}
{{- end -}}

{{/* What it does in its own namespace. */}}
{{- define "moongate.rules.own" -}}
{{- $fullname := include "moongate.fullname" . -}}
# Who leads. A name cannot be granted for create.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ $fullname }}-controller]
  verbs: [get, update]
{{- if not .Values.certManager.enabled }}
# Its certificate, and the CA that data planes read.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ $fullname }}-push-tls]
  verbs: [get, update]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ $fullname }}-push-ca]
  verbs: [get, update]
{{- end }}
{{- if .Values.controller.updateStatus }}
{{- $published := include "moongate.publishService" . | splitList "/" }}
{{- if eq (first $published) (include "moongate.namespace" .) }}
{{ include "moongate.rules.published" . }}
{{- end }}
{{- if .Values.controller.publishNodeAddresses }}
# The nodes that data planes run on.
- apiGroups: [""]
  resources: [pods]
  verbs: [get]
{{- end }}
{{- if .Values.controller.clearStatusOnExit }}
# Whether it is the last controller.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list]
{{- end }}
{{- end }}
{{- end -}}

{{/* The Service whose address Ingresses get. */}}
{{- define "moongate.rules.published" -}}
# The Service whose address Ingresses get.
- apiGroups: [""]
  resources: [services]
  resourceNames: [{{ include "moongate.publishService" . | splitList "/" | last }}]
  verbs: [list, watch]
{{- end -}}

{{/* A Secret of a namespace that is not watched. Takes NAMESPACE/NAME. */}}
{{- define "moongate.rules.certificate" -}}
# The certificate for hosts without one.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ splitList "/" . | last }}]
  verbs: [get]
{{- end -}}

{{- define "moongate.subject" -}}
- kind: ServiceAccount
  name: {{ include "moongate.account" (dict "root" . "component" "controller") }}
  namespace: {{ include "moongate.namespace" . }}
{{- end -}}

{{/* A Role of the controller, and its binding. Takes (root, name, namespace, rules). */}}
{{- define "moongate.role" -}}
{{- $labels := include "moongate.labels" (dict "root" .root "component" "controller") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  {{- include "moongate.subject" .root | nindent 2 }}
{{- end -}}
