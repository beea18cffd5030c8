"""The official conformance suite: against our fixture (which proves the fixture), and through the bridge with a real token.

usage: conformance.py [--results DIRECTORY] [REVISION:BEHIND…]

REVISION is a requirement set of the suite: 2025-11-25 (session era) or 2026-07-28 (stateless era). BEHIND says what is tested:
`direct`, the fixture itself; `http`, the bridge with the fixture behind it, in the stateless era, which the bridge finds it to speak;
`http-session`, the same in the session era; `stdio`, the fixture on stdio, in the session era alone; `merged`, the same as `http`
beside another upstream, so that every list is put together by the bridge. Without arguments, RUNS.
What the bridge cannot do yet is in conformance_expected.toml; there is no such list for the fixture, and extensions are not judged.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
import tomllib
from pathlib import Path

import report
from bridge import PATIENCE, ROOT, TOOLS, Bridge, config
from oauth import Client, FormBrowser, Session

BEHIND = ("direct", "http", "http-session", "stdio", "merged")
RUNS = [f"{revision}:{behind}" for revision in ("2025-11-25", "2026-07-28") for behind in BEHIND]
FIXTURE = ROOT / "tests/fixtures/mcp_server/main.mjs"
MODULES = TOOLS / "npm/node_modules"
SUITE = MODULES / "@modelcontextprotocol/conformance/dist/index.js"
NODE = MODULES / f"node-linux-{'arm64' if platform.machine() in ('aarch64', 'arm64') else 'x64'}/bin/node"
PRELOAD = Path(__file__).with_name("bearer.mjs")
EXPECTED = Path(__file__).with_name("conformance_expected.toml")
SUITE_PATIENCE = 10 * PATIENCE


class Fixture:
    """The fixture server over HTTP, as a process of its own."""

    def __init__(self, directory):
        log = directory / "fixture.log"
        report.watch_log("the fixture's log", log)
        with open(log, "ab") as stderr:
            self.process = subprocess.Popen([str(NODE), str(FIXTURE)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True)
        self.url = self._printed_url()

    def _printed_url(self):
        """The line with its address; a fixture that says nothing is ended, so that reading it ends too."""
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline().strip()
        watchdog.cancel()
        report.true(line.startswith("http://127.0.0.1:"), f"expected the fixture's URL, came {line!r}")
        return line

    def close(self):
        """Ends it."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE)
        self.process.stdout.close()


def upstreams(behind, fixture):
    """The fixture as an operator would write it, without a prefix: the suite asks for names of its own."""
    if behind != "stdio":
        other = "me: {builtin: whoami}\n" if behind == "merged" else ""
        era = "session" if behind == "http-session" else "auto"
        return f"fixture:\n  prefix: ''\n  url: {fixture.url}\n  era: {era}\n{other}"
    return f"fixture:\n  prefix: ''\n  command: {str(NODE)!r}\n  args: [{str(FIXTURE)!r}, --stdio]\n  env: {{TEST_TOOLS: {str(TOOLS)!r}}}\n"


def logged_in(bridge):
    """A client with a token, once the fixture's tools are there."""
    client = Client(bridge.url, "conformance").login(FormBrowser(), *bridge.first_user())
    session = Session(client).initialize()
    report.until(lambda: "test_simple_text" in session.tools(), PATIENCE, "the fixture's tools")
    return client


def play(revision, url, token, results):
    """Runs the suite. Answers scenario → its checks, and the scenarios of extensions, which nobody asks for."""
    environment = {**os.environ, "NO_COLOR": "1"}
    command = [str(NODE)]
    if token:
        environment |= {"MCP_ORIGIN": url.removesuffix("/mcp"), "MCP_TOKEN": token}
        command += ["--import", str(PRELOAD)]
    command += [str(SUITE), "server", "--url", url, "--requirements", revision, "-o", str(results)]
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    log = results / "suite.log"
    with open(log, "wb") as output:
        try:
            subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=SUITE_PATIENCE)
        except subprocess.TimeoutExpired:
            raise report.Failure(f"the suite still runs after {SUITE_PATIENCE} s; the end of what it said:\n{report.tail(log)}") from None
    said = log.read_text()
    promised = re.search(r"\((\d+) scenarios\)", said)
    report.true(promised, f"expected a run of the suite, came:\n{report.tail(log)}")
    scenarios = {}
    for file in results.glob("server-*/checks.json"):
        name = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z", file.parent.name).group(1)
        scenarios[name] = json.loads(file.read_text())
    for name in re.findall(r"^Failed to run scenario (\S+):", said, re.M):
        scenarios.setdefault(name, [{"id": "run", "status": "FAILURE", "errorMessage": "the suite could not run it"}])
    report.equal(len(scenarios), int(promised.group(1)), "scenarios with a result")
    return scenarios, set(re.findall(r"^\s+\S (\S+) \(extension\)$", said, re.M))


def expectations(revision, behind):
    """(scenario, check or None) → reason, of the failures known for this run."""
    known = {}
    for entry in tomllib.loads(EXPECTED.read_text()).get("expected", []):
        if revision == entry["revision"] and behind in entry["behind"]:
            for name in entry["failures"]:
                scenario, _, check = name.partition(":")
                known[scenario, check or None] = entry["reason"]
    return known


def faults(checks):
    """Check → what is wrong with it. A warning is a SHOULD that does not hold, and counts as well; so does a scenario that shows nothing."""
    wrong = {}
    for check in checks:
        if check["status"] in ("FAILURE", "WARNING"):
            wrong.setdefault(check["id"], check.get("errorMessage") or json.dumps(check.get("details"))[:400])
    if not wrong and not any(check["status"] == "SUCCESS" for check in checks):
        wrong["nothing-shown"] = f"no check passed: {sorted({check['status'] for check in checks})}"
    return wrong


def judge(label, scenario, checks, known):
    """One line a scenario: what failed must be known, and what is known must fail."""
    wrong = faults(checks)
    reasons = {check: reason for (name, check), reason in known.items() if name == scenario}
    unknown = {} if None in reasons else {check: text for check, text in wrong.items() if check not in reasons}
    stale = [check for check in reasons if check not in wrong and not (check is None and wrong)]
    texts = [f"{check}: {text}" for check, text in unknown.items()]
    texts += [f"passes now, so take it out of {EXPECTED.name}: {scenario}{f':{check}' if check else ''}" for check in stale]
    if texts:
        report.fail(f"{label}: {scenario}", report.Failure("\n  ".join(texts)), logs=False)
    elif wrong:
        report.known(f"{label}: {scenario} fails in {', '.join(wrong)} ({'; '.join(sorted(set(reasons.values())))})")
    else:
        report.ok(f"{label}: {scenario} ({sum(check['status'] == 'SUCCESS' for check in checks)} checks)")


def run_one(revision, behind, fixture, directory):
    """One requirement set against one thing."""
    label = f"conformance {revision} {behind}"
    bridge = None
    with report.check(f"{label}: the suite runs"):
        url, token = fixture.url, None
        if behind != "direct":
            bridge = Bridge(config(upstreams(behind, fixture))).start()
            url, token = bridge.url, logged_in(bridge).access_token
        results = directory / f"{revision}-{behind}"
        scenarios, extensions = play(revision, url, token, results)
    known = {} if behind == "direct" else expectations(revision, behind)
    for scenario in sorted(scenarios.keys() - extensions):
        judge(label, scenario, scenarios[scenario], known)
    for scenario, check in known.keys():
        if scenario not in scenarios:
            report.fail(f"{label}: {scenario}", report.Failure(f"is in {EXPECTED.name} but not in the suite"), logs=False)
    if bridge:
        with report.check(f"{label}: the bridge ends"):
            report.equal(bridge.stop(), 0, "exit code")


def main():
    """The runs asked for, one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path, help="where the suite's results and the logs go (default: a temporary directory, which stays after a failure)")
    parser.add_argument("runs", nargs="*", default=RUNS, metavar="REVISION:BEHIND", help=f"default: {' '.join(RUNS)}")
    arguments = parser.parse_args()
    directory = arguments.results or Path(tempfile.mkdtemp(prefix="mcp-bridge-conformance-"))
    directory.mkdir(parents=True, exist_ok=True)
    print(f"results in {directory}", flush=True)
    fixture = Fixture(directory)
    try:
        for run in arguments.runs:
            revision, _, behind = run.partition(":")
            report.true(behind in BEHIND, f"expected REVISION:BEHIND with one of {BEHIND}, came {run}")
            run_one(revision, behind, fixture, directory)
    finally:
        fixture.close()
    if not arguments.results and not report.failed and os.environ.get("KEEP") != "1":
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    report.main(main)
