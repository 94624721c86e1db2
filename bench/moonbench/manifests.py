"""The Kubernetes YAML that Moongate is measured with. JSON is YAML: each document is written as one."""

import base64
import json
import os

NAMESPACE = "bench"


def moongate(setting, lua):
    """All documents: config, Secret, Service, EndpointSlice, Ingress and, for the Lua scenario, the plugin."""
    documents = [config(), secret(setting), service(), slice_of(setting.backend), ingress(setting.lua)]
    if setting.lua:
        documents.append(plugin(lua))
    return "\n---\n".join(json.dumps(d, indent=1) for d in documents) + "\n"


def meta(name, **more):
    return {"name": name, "namespace": NAMESPACE, **more}


def config():
    """As the peers: no access log, connections are never closed for their age."""
    http = {
        "accessLog": False,
        "keepaliveRequests": 1_000_000_000,
        "keepaliveTimeout": "1h",
        "upstreamKeepaliveRequests": 1_000_000_000,
        "upstreamKeepaliveTimeout": "1h",
        "sslRedirect": False,
    }
    return {"apiVersion": "moongate.dev/v1alpha1", "kind": "MoongateConfig", "metadata": {"name": "moongate"}, "spec": {"http": http}}


def secret(setting):
    def encoded(path):
        with open(path, "rb") as file:
            return base64.b64encode(file.read()).decode()

    data = {"tls.crt": encoded(setting.certificate), "tls.key": encoded(setting.key)}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta("tls"), "data": data}


def service():
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta("backend"), "spec": {"ports": ports}}


def slice_of(port):
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta("backend-1", labels={"kubernetes.io/service-name": "backend"}),
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


def ingress(lua):
    backend = {"service": {"name": "backend", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    annotations = {"moongate.dev/plugins": "bench"} if lua else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": meta("bench", annotations=annotations),
        "spec": {
            "ingressClassName": "moongate",
            "tls": [{"hosts": ["bench.example.com"], "secretName": "tls"}],
            "rules": [{"http": {"paths": [path]}}],
        },
    }


def plugin(lua):
    def script(name):
        with open(os.path.join(lua, f"{name}.lua")) as file:
            return file.read()

    phases = {"access": script("access"), "headerFilter": script("header_filter"), "log": script("log")}
    spec = {"phases": phases, "sharedDicts": {"bench": "10Mi"}}
    return {"apiVersion": "moongate.dev/v1alpha1", "kind": "LuaPlugin", "metadata": meta("bench"), "spec": spec}
