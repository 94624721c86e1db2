"""Medians over rounds, the table for people and the file for programs."""

import json
import platform
import statistics
import subprocess

COLUMNS = [
    ("cpu_us", "CPU us/req", "{:.1f}"),
    ("user_us", "of it user", "{:.1f}"),
    ("requests_per_second", "req/s", "{:.0f}"),
    ("p50_ms", "p50 ms", "{:.2f}"),
    ("p99_ms", "p99 ms", "{:.2f}"),
    ("bytes_per_connection", "B/conn", "{:.0f}"),
    ("rss_mib", "RSS MiB", "{:.1f}"),
]
BASE = "nginx"


def summary(turns):
    """`turns[scenario][proxy]` is a list of one dict a round, or of an error text. Adds medians and ratios."""
    result = {}
    for scenario, proxies in turns.items():
        rows = {}
        for name, rounds in proxies.items():
            good = [r for r in rounds if isinstance(r, dict)]
            errors = [r for r in rounds if isinstance(r, str)]
            medians = {key: statistics.median(r[key] for r in good) for key in (good[0] if good else {})}
            rows[name] = {"median": medians, "rounds": rounds, "errors": errors, "ratio": ratio(rounds, proxies.get(BASE, []))}
        result[scenario] = rows
    return result


def ratio(rounds, base_rounds):
    """To nginx, round by round, since a round's turns share what else the machine does; then the median."""
    ratios = []
    for ours, base in zip(rounds, base_rounds):
        if isinstance(ours, dict) and isinstance(base, dict):
            key = "cpu_us" if "cpu_us" in ours else "bytes_per_connection"
            if base[key] > 0:
                ratios.append(ours[key] / base[key])
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)} if ratios else None


def table(results, descriptions):
    """Text: one block a scenario, one line a proxy."""
    lines = []
    for scenario, rows in results.items():
        columns = [c for c in COLUMNS if any(c[0] in row["median"] for row in rows.values())]
        lines += ["", f"{scenario}: {descriptions[scenario]}"]
        lines.append(f"{'':12}" + "".join(f"{title:>12}" for _, title, _ in columns) + f"{'x nginx':>10}  (min-max)")
        for name, row in rows.items():
            if not row["median"]:
                lines.append(f"{name:12}  {row['errors'][0].splitlines()[0] if row['errors'] else 'not run'}")
                continue
            cells = "".join(f"{form.format(row['median'][key]):>12}" for key, _, form in columns)
            r = row["ratio"]
            tail = f"{r['median']:>10.2f}  ({r['min']:.2f}-{r['max']:.2f})" if r else f"{'-':>10}"
            failed = f"  {len(row['errors'])} rounds failed" if row["errors"] else ""
            lines.append(f"{name:12}{cells}{tail}{failed}")
    return "\n".join(lines) + "\n"


def machine():
    """What the numbers were measured on."""
    model = "unknown"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "kernel": platform.release()}


def versions(proxies):
    """Of each proxy, by its own word."""
    flags = {"nginx": "-v", "nginx+xff": "-v", "haproxy": "-v", "traefik": "version", "caddy": "version"}
    result = {}
    for proxy in proxies:
        argv = [proxy.binary, flags.get(proxy.name, "--version")]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        text = (done.stdout + done.stderr).strip().splitlines()
        result[proxy.name] = text[0].strip() if text else "unknown"
    return result


def write(path, results, options, proxies):
    """The JSON file: every turn, the medians, and what is needed to judge them."""
    document = {
        "machine": machine(),
        "options": vars(options),
        "versions": versions(proxies),
        "scenarios": results,
    }
    with open(path, "w") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
