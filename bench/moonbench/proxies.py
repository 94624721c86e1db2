"""The proxies: how each is configured and started. One worker each, access logs off, keep-alive on both sides.

Each forwards every request to the one backend and does nothing that was not asked for; what a peer always does
(Envoy's, Traefik's and Caddy's X-Forwarded-* headers, for instance) it does here too.
"""

import json
import os
import shutil
import textwrap

from . import manifests
from .process import Process

PROXY_CORE = 0
BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(BENCH)
VENV = os.path.join(ROOT, ".cache", "bench-venv", "bin")
LUA = os.path.join(BENCH, "lua")
# Where Debian's libnginx-mod-* packages put them.
MODULES = "/usr/lib/nginx/modules"
HOUR = 3600


class Setting:
    """Where a proxy of one turn lives and what it forwards to."""

    def __init__(self, directory, http, https, admin, backend, certificate, key, lua):
        self.directory = directory
        self.http, self.https, self.admin, self.backend = http, https, admin, backend
        self.certificate, self.key = certificate, key
        self.lua = lua

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self, argv, env=None):
        log = os.path.join(self.directory, "log")
        process = Process(argv, PROXY_CORE, self.directory, log, env)
        process.wait_for_port(self.http)
        process.wait_for_port(self.https)
        return process


class Proxy:
    """A proxy that can be started."""

    name = ""
    lua = False

    def __init__(self, binary):
        self.binary = binary

    def available(self):
        return bool(shutil.which(self.binary))

    def start(self, setting):
        raise NotImplementedError


class Moongate(Proxy):
    """Ours, from Kubernetes YAML as `make run` takes it."""

    name, lua = "moongate", True

    def start(self, s):
        s.write("bench.yaml", manifests.moongate(s, LUA))
        argv = [self.binary, "run", s.directory, "--workers", "1", "--log-format", "text"]
        argv += ["--http", f"127.0.0.1:{s.http}", "--https", f"127.0.0.1:{s.https}", "--admin", f"127.0.0.1:{s.admin}"]
        return s.start(argv)


class Nginx(Proxy):
    """nginx with the least that a keep-alive reverse proxy needs; the one that ratios are taken to."""

    name, lua = "nginx", True
    headers = ""

    def start(self, s):
        modules, dicts, phases = "", "", ""
        if s.lua:
            modules = "".join(f"load_module {MODULES}/{m}_module.so; " for m in ("ndk_http", "ngx_http_lua"))
            dicts = "lua_shared_dict bench 10m;"
            phases = "\n".join(f"{p}_by_lua_file {LUA}/{p}.lua;" for p in ("access", "header_filter", "log"))
        temp = "\n".join(f"{t}_temp_path {s.directory}/{t};" for t in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = f"""
            {modules}
            daemon off; worker_processes 1; worker_rlimit_nofile 16384;
            pid {s.directory}/pid; error_log {s.directory}/error.log warn;
            events {{ worker_connections 16000; }}
            http {{
              access_log off; keepalive_requests 1000000000; keepalive_timeout {HOUR}s;
              {temp}
              {dicts}
              upstream backend {{
                server 127.0.0.1:{s.backend};
                keepalive 320; keepalive_requests 1000000000; keepalive_timeout {HOUR}s;
              }}
              server {{
                listen 127.0.0.1:{s.http} backlog=4096; listen 127.0.0.1:{s.https} ssl http2 backlog=4096;
                ssl_certificate {s.certificate}; ssl_certificate_key {s.key};
                location / {{
                  {phases}
                  proxy_pass http://backend; proxy_http_version 1.1;
                  proxy_set_header Connection ""; proxy_set_header Host $http_host;
                  {self.headers}
                }}
              }}
            }}"""
        path = s.write("nginx.conf", config)
        # "-e" before the configuration is read: the default path may not be writable.
        return s.start([self.binary, "-p", s.directory, "-e", f"{s.directory}/error.log", "-c", path])


class NginxForwarded(Nginx):
    """nginx with the request headers that ingress-nginx (and we) set: the same work as ours."""

    name = "nginx+xff"
    headers = """proxy_set_header X-Request-ID $request_id;
        proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port;
        proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Scheme $scheme;
        proxy_set_header X-Scheme $scheme;"""


class HaProxy(Proxy):
    """HAProxy, one thread."""

    name = "haproxy"

    def start(self, s):
        with open(s.certificate) as chain, open(s.key) as key:
            both = s.write("both.pem", chain.read() + key.read())
        path = s.write(
            "haproxy.cfg",
            textwrap.dedent(f"""\
                global
                  nbthread 1
                  maxconn 9900
                defaults
                  mode http
                  timeout connect 5s
                  timeout client {HOUR}s
                  timeout server {HOUR}s
                  timeout http-keep-alive {HOUR}s
                  http-reuse always
                frontend in
                  bind 127.0.0.1:{s.http}
                  bind 127.0.0.1:{s.https} ssl crt {both} alpn h2,http/1.1
                  default_backend out
                backend out
                  server backend 127.0.0.1:{s.backend}
                """),
        )
        return s.start([self.binary, "-f", path, "-db"])


class Envoy(Proxy):
    """Envoy, `--concurrency 1`."""

    name = "envoy"

    def start(self, s):
        def address(port):
            return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

        def typed(kind, **fields):
            return {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **fields}

        def listener(name, port, transport):
            manager = typed(
                "filters.network.http_connection_manager.v3.HttpConnectionManager",
                stat_prefix=name,
                route_config={
                    "virtual_hosts": [
                        {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]}
                    ]
                },
                http_filters=[{"name": "router", "typed_config": typed("filters.http.router.v3.Router")}],
            )
            chain = {"filters": [{"name": "http", "typed_config": manager}], **transport}
            return {"name": name, "address": address(port), "filter_chains": [chain]}

        certificates = [{"certificate_chain": {"filename": s.certificate}, "private_key": {"filename": s.key}}]
        tls = typed(
            "transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context={"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": certificates},
        )
        endpoint = {"endpoint": {"address": address(s.backend)}}
        cluster = {
            "name": "backend",
            "type": "STATIC",
            "connect_timeout": "5s",
            "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }
        secure = {"transport_socket": {"name": "tls", "typed_config": tls}}
        listeners = [listener("http", s.http, {}), listener("https", s.https, secure)]
        config = {"static_resources": {"listeners": listeners, "clusters": [cluster]}}
        path = s.write("envoy.json", json.dumps(config, indent=1))
        argv = [self.binary, "-c", path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        return s.start(argv)


class Traefik(Proxy):
    """Traefik, `GOMAXPROCS=1`."""

    name = "traefik"

    def start(self, s):
        dynamic = {
            "http": {
                "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "backend", "entryPoints": ["http"]},
                            "all-tls": {"rule": "PathPrefix(`/`)", "service": "backend", "entryPoints": ["https"], "tls": {}}},
                "services": {"backend": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{s.backend}"}]}}},
            },
            "tls": {"stores": {"default": {"defaultCertificate": {"certFile": s.certificate, "keyFile": s.key}}}},
        }
        times = {"transport": {"respondingTimeouts": {"idleTimeout": f"{HOUR}s"}}}
        static = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "ERROR"},
            "serversTransport": {"maxIdleConnsPerHost": 320},
            "entryPoints": {
                "http": {"address": f"127.0.0.1:{s.http}", **times},
                "https": {"address": f"127.0.0.1:{s.https}", **times},
            },
            "providers": {"file": {"filename": s.write("dynamic.yml", json.dumps(dynamic, indent=1))}},
        }
        path = s.write("traefik.yml", json.dumps(static, indent=1))
        return s.start([self.binary, f"--configFile={path}"], {"GOMAXPROCS": "1"})


class Caddy(Proxy):
    """Caddy, `GOMAXPROCS=1`."""

    name = "caddy"

    def start(self, s):
        upstream = f"reverse_proxy 127.0.0.1:{s.backend} {{\n transport http {{\n keepalive_idle_conns_per_host 320\n }}\n }}"
        path = s.write(
            "Caddyfile",
            textwrap.dedent(f"""\
                {{
                  admin off
                  persist_config off
                  auto_https off
                  log {{
                    level ERROR
                  }}
                  servers {{
                    protocols h1 h2
                    timeouts {{
                      idle {HOUR}s
                    }}
                  }}
                }}
                http://:{s.http} {{
                  bind 127.0.0.1
                  {upstream}
                }}
                https://:{s.https} {{
                  bind 127.0.0.1
                  tls {s.certificate} {s.key}
                  {upstream}
                }}
                """),
        )
        env = {"GOMAXPROCS": "1", "HOME": s.directory, "XDG_DATA_HOME": s.directory, "XDG_CONFIG_HOME": s.directory}
        return s.start([self.binary, "run", "--config", path, "--adapter", "caddyfile"], env)


def all_proxies(moongate_binary):
    """Every proxy, in the order of the table."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    haproxy = shutil.which("haproxy") or "/usr/sbin/haproxy"
    return [
        Moongate(moongate_binary),
        Nginx(nginx),
        NginxForwarded(nginx),
        HaProxy(haproxy),
        Envoy(os.path.join(VENV, "envoy")),
        Traefik(os.path.join(VENV, "traefik")),
        Caddy(os.path.join(VENV, "caddy")),
    ]
