"""Start and idle memory: with the repository's own configuration, and with a store full of clients."""

import json
import subprocess
import time
from pathlib import Path

from measure import MEASURED, SMOKE, aim, core, keep, line, load, median, spread, table

import bridge as bridges
import report
from oauth import Client

CLIENTS = 200 if SMOKE else 10_000
STARTS = 3 if SMOKE else 15
FIRST_STARTS = 1 if SMOKE else 5


def run():
    """Starts again and again: time until /readyz answers 200, and memory when idle."""
    print("\n## Start\n")
    table("start", "to the first answer, ms", "idle, resident MB", "idle, proportional MB")
    first = [_first_start() for _ in range(FIRST_STARTS)]
    keep("first start", ms=first)
    line("the very first: makes a key, a store, a user", spread(first, 1), "", "")
    for name, bridge in (("config.yaml", _with_repository_config()), (f"{CLIENTS:,} clients", _with_clients())):
        times, resident, proportional = _starts(bridge)
        keep("start", name=name, ms=times, rss_mb=resident, pss_mb=proportional)
        line(name, spread(times, 1), spread(resident, 1), spread(proportional, 1))
        aim(f"cold start to first answer, {name}", 50, median(times), " ms")
        aim(f"idle memory, resident, {name}", 25, median(resident), " MB")


def _first_start():
    bridge = bridges.Bridge.with_repository_config()
    took = _start(bridge)
    bridge.close()
    return took


def _with_repository_config():
    bridge = bridges.Bridge.with_repository_config()
    bridge.start()
    bridge.stop()
    return bridge


def _with_clients():
    bridge = bridges.Bridge(bridges.config("me: {builtin: whoami}", oauth_server="registration: {max_clients: 50000}"))
    bridge.start()
    client = Client(bridge.url).discover()
    body = json.dumps({"client_name": "bench", "redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": "none"})
    keep("clients", **load("posts", "--url", client.metadata["registration_endpoint"], "--count", CLIENTS, "--connections", 32, "--body", body))
    bridge.stop()
    return bridge


def _starts(bridge):
    times, resident, proportional = [], [], []
    for _ in range(STARTS):
        times.append(_start(bridge))
        bridge.get("/.well-known/oauth-protected-resource/mcp")
        time.sleep(0.2 if SMOKE else 1.0)  # idle is what it is when nothing has happened for a while
        text = Path(f"/proc/{bridge.process.pid}/smaps_rollup").read_text()
        sizes = {entry.split(":")[0]: int(entry.split()[1]) / 1000 for entry in text.splitlines()[1:]}
        resident.append(sizes["Rss"])
        proportional.append(sizes["Pss"])
        bridge.process.terminate()
        bridge.process.wait(bridges.PATIENCE)
    bridge.close()
    return times, resident, proportional


def _start(bridge):
    """Milliseconds from the start of the process to the first 200 of /readyz."""
    with core(MEASURED):
        started = time.perf_counter()
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
