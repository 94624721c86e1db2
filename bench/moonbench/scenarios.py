"""What is measured: one scenario, one proxy, one turn."""

import http.client
import os
import shutil
import ssl
import subprocess
import tempfile
import textwrap
import time

from . import load
from .load import HOST
from .process import Process, free_port
from .proxies import Setting

BACKEND_CORE = 1
# As the measurements that the budgets are from: a body of 67 bytes.
SMALL_BODY = "moongate bench: a response body of sixty-seven bytes, as in budgets"
LARGE_BYTES = 1024 * 1024
# Long enough to fill pools, caches and the JIT's traces before the clock starts.
WARM_UP_SECONDS = 1

SCENARIOS = {
    "plain": "HTTP/1.1, keep-alive, 67-byte body",
    "lua": "the same with access, header_filter and log scripts",
    "tls": "the same as plain over TLS, HTTP/1.1",
    "body": "HTTP/1.1, 1 MiB body",
    "h2": "HTTP/2 over TLS, 67-byte body",
    "idle": "memory of an idle keep-alive connection",
    "idle-tls": "the same over TLS, HTTP/1.1",
    "idle-h2": "the same over TLS, HTTP/2",
}
# What a scenario's connections agree on, over TLS.
ALPN = {"tls": "http/1.1", "h2": "h2", "idle-tls": "http/1.1", "idle-h2": "h2"}


class Bench:
    """Holds the backend and the files that all turns share."""

    def __init__(self, options):
        self.options = options
        self.directory = tempfile.mkdtemp(prefix="moongate-bench-")
        # nginx's worker runs as www-data when it is started by root; it has to reach its files.
        os.chmod(self.directory, 0o755)
        self.certificate = os.path.join(self.directory, "tls.crt")
        self.key = os.path.join(self.directory, "tls.key")
        self.make_certificate()
        self.backend_port = free_port()
        self.backend = self.start_backend()

    def make_certificate(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST},IP:127.0.0.1",
             "-keyout", self.key, "-out", self.certificate],
            check=True, capture_output=True,
        )

    def start_backend(self):
        """nginx on the clients' core: `return 200`, and one file of 1 MiB."""
        directory = os.path.join(self.directory, "backend")
        os.mkdir(directory)
        with open(os.path.join(directory, "large"), "wb") as file:
            file.write(b"m" * LARGE_BYTES)
        config = f"""
            daemon off; worker_processes 1; worker_rlimit_nofile 16384; pid {directory}/pid;
            error_log {directory}/error.log warn;
            events {{ worker_connections 16000; }}
            http {{
              access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; sendfile on; tcp_nopush on;
              client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
              uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
              server {{
                listen 127.0.0.1:{self.backend_port} backlog=4096;
                location / {{ return 200 "{SMALL_BODY}"; }}
                location = /large {{ root {directory}; }}
              }}
            }}"""
        path = os.path.join(directory, "nginx.conf")
        with open(path, "w") as file:
            file.write(config)
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        argv = [nginx, "-p", directory, "-e", f"{directory}/error.log", "-c", path]
        process = Process(argv, BACKEND_CORE, directory, os.path.join(directory, "log"))
        process.wait_for_port(self.backend_port)
        return process

    def close(self):
        self.backend.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def turn(self, proxy, scenario):
        """Starts `proxy`, measures one scenario, ends it. Returns the numbers of the turn."""
        directory = tempfile.mkdtemp(prefix=proxy.name.replace("+", "-") + "-", dir=self.directory)
        os.chmod(directory, 0o755)
        ports = [free_port() for _ in range(3)]
        setting = Setting(directory, *ports, self.backend_port, self.certificate, self.key, scenario == "lua")
        process = proxy.start(setting)
        try:
            await_answer(setting, scenario)
            if scenario.startswith("idle"):
                return self.idle(process, setting, ALPN.get(scenario))
            return self.load(process, setting, scenario)
        finally:
            process.stop()
            shutil.rmtree(directory, ignore_errors=True)

    def load(self, process, setting, scenario):
        def run(seconds):
            o = self.options
            if scenario == "h2":
                return load.h2load(f"https://127.0.0.1:{setting.https}/", o.h2_connections, o.h2_streams, seconds)
            if scenario == "tls":
                return load.wrk(f"https://127.0.0.1:{setting.https}/", o.connections, seconds)
            path = "/large" if scenario == "body" else "/"
            # 64 responses of 1 MiB in flight would measure the client's memory, not the proxy.
            connections = min(o.connections, 8) if scenario == "body" else o.connections
            return load.wrk(f"http://127.0.0.1:{setting.http}{path}", connections, seconds)

        run(WARM_UP_SECONDS)
        before, ticks = process.cpu_seconds(), process.ticks()
        result = run(self.options.seconds)
        cpu = process.cpu_seconds() - before
        user, system = (after - start for after, start in zip(process.ticks(), ticks))
        if result["errors"]:
            raise RuntimeError(f"{result['errors']} of {result['requests']} requests failed")
        if not result["requests"]:
            raise RuntimeError("no request was answered")
        return {
            "cpu_us": cpu / result["requests"] * 1e6,
            "user_us": cpu / result["requests"] * 1e6 * user / max(user + system, 1),
            "requests_per_second": result["requests"] / result["seconds"],
            "p50_ms": result["p50_us"] / 1000,
            "p99_ms": result["p99_us"] / 1000,
            "rss_mib": process.rss_bytes() / 2**20,
        }

    def idle(self, process, setting, protocol):
        # What the first requests allocate once is not the connections'.
        if protocol == "h2":
            load.h2load(f"https://127.0.0.1:{setting.https}/", 8, 1, WARM_UP_SECONDS)
        elif protocol:
            load.wrk(f"https://127.0.0.1:{setting.https}/", 8, WARM_UP_SECONDS)
        else:
            load.wrk(f"http://127.0.0.1:{setting.http}/", 8, WARM_UP_SECONDS)
        before = process.rss_bytes()
        with load.idle_connections(setting.https if protocol else setting.http, self.options.idle, protocol):
            after = process.rss_bytes()
        return {"bytes_per_connection": (after - before) / self.options.idle, "rss_mib": after / 2**20}


def await_answer(setting, scenario, deadline=10.0):
    """Traefik listens before it has read its routes, so the right answer is awaited, not demanded at once."""
    end = time.monotonic() + deadline
    while True:
        try:
            return check_answer(setting, scenario)
        except (RuntimeError, OSError, http.client.HTTPException):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def check_answer(setting, scenario):
    """A proxy that answers something else would be fast and worth nothing."""
    if scenario in ALPN:
        context = ssl._create_unverified_context()
        client = http.client.HTTPSConnection("127.0.0.1", setting.https, timeout=10, context=context)
    else:
        client = http.client.HTTPConnection("127.0.0.1", setting.http, timeout=10)
    client.request("GET", "/large" if scenario == "body" else "/", headers={"Host": HOST})
    answer = client.getresponse()
    body = answer.read()
    right = len(body) == LARGE_BYTES if scenario == "body" else body == SMALL_BODY.encode()
    if answer.status != 200 or not right:
        raise RuntimeError(f"answers {answer.status} with {len(body)} bytes: {textwrap.shorten(repr(body), 200)}")
    if scenario == "lua" and answer.headers["X-Bench"] != "on":
        raise RuntimeError("the header_filter script did not run")
    client.close()
