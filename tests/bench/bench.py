"""What the bridge costs: start, memory, and each call, beside the same call without it and through nginx. See `run`.

Pinned: what is measured runs on core 0, the load and the upstream on core 1. Processor time per call is the figure to trust on a busy machine;
compare within one run only.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "e2e"))

import bridge as bridges  # noqa: E402: the end-to-end scripts know how to start a bridge and log in
import report  # noqa: E402
from oauth import Client, FormBrowser  # noqa: E402

SMOKE = "--smoke" in sys.argv
CLIENTS = 200 if SMOKE else 10_000
STARTS = 3 if SMOKE else 15
ROUNDS = int(os.environ.get("ROUNDS", "1" if SMOKE else "3"))
SECONDS_EACH = float(os.environ.get("SECONDS_EACH", "0.5" if SMOKE else "3"))
CONNECTIONS = (1, 4) if SMOKE else (1, 16, 64)
LOAD = ROOT / "target/bench/release/mcp-load"
ECHO = ROOT / "target/bench/release/mcp-echo"
MEASURED, OTHERS = (0, 1) if (os.cpu_count() or 1) > 1 else (0, 0)
AIM_START_MS, AIM_IDLE_MB = 300, 30


def pinned(core, command, **more):
    """Starts a command on one core."""
    return subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], **more)


def load(mode, *options):
    """Runs the load tool and reads its line."""
    done = subprocess.run(
        ["taskset", "-c", str(OTHERS), str(LOAD), mode, *map(str, options)], capture_output=True, text=True, timeout=600
    )
    if done.returncode != 0:
        raise report.Failure(f"mcp-load {mode} {' '.join(map(str, options))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def answers(port):
    """Whether something listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def memory_mb(pid):
    """Resident and proportional memory of one process, in MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1000 for line in text.splitlines()[1:]}
    return sizes["Rss"], sizes["Pss"]


def cold_starts(results):
    """Fills a store with clients, then starts the bridge again and again: time until /readyz answers 200, and its memory when idle."""
    config = bridges.config("me: {builtin: whoami}", oauth_server="registration: {max_clients: 50000}")
    bridge = bridges.Bridge(config)
    bridge.start()
    bridge.first_user()
    client = Client(bridge.url).discover()
    body = json.dumps({"client_name": "bench", "redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": "none"})
    seeded = load("posts", "--url", client.metadata["registration_endpoint"], "--count", CLIENTS, "--connections", 32, "--body", body)
    print(f"{CLIENTS:,} clients registered over HTTP in {seeded['seconds']:.1f} s ({CLIENTS / seeded['seconds']:,.0f}/s)\n")
    bridge.stop()
    times, resident, proportional = [], [], []
    for _ in range(STARTS):
        times.append(one_start(bridge))
        bridge.get("/.well-known/oauth-protected-resource/mcp")
        time.sleep(0.2 if SMOKE else 1.0)  # idle is what it is when nothing has happened for a while
        rss, pss = memory_mb(bridge.process.pid)
        resident.append(rss)
        proportional.append(pss)
        bridge.stop()
    results.append({"what": "start", "clients": CLIENTS, "ms": times, "rss_mb": resident, "pss_mb": proportional})
    start, idle = statistics.median(times), statistics.median(resident)
    print("| | median [lowest–highest] | aim |\n|---|---|---|")
    print(f"| cold start to /readyz, {CLIENTS:,} clients in the store | {spread(times, 1)} ms | < {AIM_START_MS} ms: {'met' if start < AIM_START_MS else 'MISSED'} |")
    print(f"| idle memory, resident | {spread(resident, 1)} MB | < {AIM_IDLE_MB} MB: {'met' if idle < AIM_IDLE_MB else 'MISSED'} |")
    print(f"| idle memory, proportional | {spread(proportional, 1)} MB | |\n")


def one_start(bridge):
    """Milliseconds from the start of the process to the first 200 of /readyz."""
    started = time.perf_counter()
    bridge.output = []
    bridge.process = subprocess.Popen(
        [str(bridges.BINARY), "-c", str(bridge.config)], cwd=bridge.directory, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=open(bridge.log, "ab"),
    )
    while True:
        try:
            if bridge.get("/readyz")[0] == 200:
                return (time.perf_counter() - started) * 1000
        except OSError:
            pass
        if bridge.process.poll() is not None or time.perf_counter() - started > 30:
            raise report.Failure(f"the bridge did not become ready; its log:\n{report.tail(bridge.log)}")
        time.sleep(0.001)


def spread(values, digits=0):
    """Median [lowest–highest]."""
    text = f"{statistics.median(values):,.{digits}f}"
    return text if len(values) == 1 else f"{text} [{min(values):,.{digits}f}–{max(values):,.{digits}f}]"


class Target:
    """One way to the tool: its address, its process, its token."""

    def __init__(self, name, url, pid, token_file=None):
        self.name, self.url, self.pid, self.token_file = name, url, pid, token_file

    def measure(self, connections):
        """One round."""
        options = ["--url", self.url, "--connections", connections, "--seconds", SECONDS_EACH, "--pid", self.pid]
        return load("calls", *options, *(["--token-file", self.token_file] if self.token_file else []))


def bridge_target(name, upstream, directory, started):
    """A bridge with this upstream, and a token for it as a client gets one."""
    bridge = bridges.Bridge(bridges.config(upstream))
    started.append(bridge.start())
    client = Client(bridge.url, "bench").login(FormBrowser(), *bridge.first_user())
    token_file = directory / f"{name.replace(' ', '-')}.token"
    token_file.write_text(client.access_token)
    token_file.chmod(0o600)
    pin(bridge)
    return Target(name, bridge.url, bridge.process.pid, token_file)


def pin(bridge):
    """Moves a bridge, its threads and its children to the core of the measured: a child runs beside it, as on a small machine."""
    for pid in [bridge.process.pid, *bridge.descendants()]:
        subprocess.run(["taskset", "-a", "-cp", str(MEASURED), str(pid)], check=True, capture_output=True)


def calls(results):
    """The four ways, in interleaved rounds."""
    directory = Path(tempfile.mkdtemp(prefix="mcp-bridge-bench-"))
    processes, started = [], []
    try:
        upstream, direct, proxy = bridges.free_port(), bridges.free_port(), bridges.free_port()
        processes.append(pinned(OTHERS, [ECHO, "--http", f"127.0.0.1:{upstream}"]))
        processes.append(pinned(MEASURED, [ECHO, "--http", f"127.0.0.1:{direct}"]))
        text = (HERE / "nginx.conf").read_text()
        for name, value in {"DIRECTORY": directory, "UPSTREAM": upstream, "PORT": proxy}.items():
            text = text.replace(f"@{name}@", str(value))
        (directory / "nginx.conf").write_text(text)
        processes.append(pinned(MEASURED, ["nginx", "-p", directory, "-c", directory / "nginx.conf"], stderr=subprocess.DEVNULL))
        for port in (upstream, direct, proxy):
            report.until(lambda: answers(port), 10, f"something to listen on port {port} (nginx: {report.tail(directory / 'nginx.log')})")
        targets = [
            Target("direct", f"http://127.0.0.1:{direct}/mcp", processes[1].pid),
            Target("nginx", f"http://127.0.0.1:{proxy}/mcp", processes[2].pid),
            bridge_target("bridge to HTTP", f"echo: {{url: 'http://127.0.0.1:{upstream}/mcp'}}\n", directory, started),
            bridge_target("bridge to stdio", f"echo: {{command: '{ECHO}', args: [--stdio]}}\n", directory, started),
        ]
        for number in range(ROUNDS):
            for connections in CONNECTIONS:
                for target in targets:
                    results.append({"what": "calls", "target": target.name, "round": number, "load1": os.getloadavg()[0], **target.measure(connections)})
        print_calls(results, [target.name for target in targets])
    finally:
        for bridge in started:
            bridge.close()
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(10)


def print_calls(results, names):
    """Each way at each number of connections, and as a ratio to direct and nginx (medians of the same run)."""
    rows = [result for result in results if result["what"] == "calls"]

    def values(name, connections, pick):
        return [pick(row) for row in rows if row["target"] == name and row["connections"] == connections]

    def cpu(name):
        return lambda row: row["cpu_us"]["with_children" if name == "nginx" else "alone"]

    print("| way | connections | calls/s | p50 ms | p99 ms | CPU µs per call | with child | CPU × direct | CPU × nginx | calls/s ÷ direct | ÷ nginx |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for connections in CONNECTIONS:
        base = {name: statistics.median(values(name, connections, cpu(name))) for name in ("direct", "nginx")}
        rate = {name: statistics.median(values(name, connections, lambda row: row["per_second"])) for name in ("direct", "nginx")}
        for name in names:
            own = statistics.median(values(name, connections, cpu(name)))
            per_second = statistics.median(values(name, connections, lambda row: row["per_second"]))
            cells = [
                name, connections, spread(values(name, connections, lambda row: row["per_second"])),
                spread(values(name, connections, lambda row: row["p50_us"] / 1000), 2), spread(values(name, connections, lambda row: row["p99_us"] / 1000), 2),
                spread(values(name, connections, cpu(name))),
                spread(values(name, connections, lambda row: row["cpu_us"]["with_children"])) if name == "bridge to stdio" else "",
                ratio(own, base["direct"]), ratio(own, base["nginx"]), ratio(per_second, rate["direct"]), ratio(per_second, rate["nginx"]),
            ]
            print("| " + " | ".join(map(str, cells)) + " |")


def ratio(value, base):
    """A ratio, or a dash where the base was too small to be measured."""
    return f"{value / base:.2f}" if base else "–"


def main():
    """Everything, and the raw figures in target/bench."""
    results = []
    print(f"{'SMOKE RUN, the figures mean nothing. ' if SMOKE else ''}{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, binary {bridges.BINARY.name} ({bridges.BINARY.stat().st_size / 1e6:.1f} MB)\n")
    try:
        cold_starts(results)
        calls(results)
    except report.Failure as failure:
        report.fail("benchmark", failure)
        sys.exit(report.finish())
    path = ROOT / "target/bench/results.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(result) + "\n" for result in results))
    print(f"\nraw figures: {path.relative_to(ROOT)}")
    if SMOKE:
        print("ok benchmark: every way answers, every figure is taken")


if __name__ == "__main__":
    main()
