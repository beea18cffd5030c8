"""The official conformance suite, `client` mode, against the bridge's upstream side: conformance_client.py is the client that the suite is given.

usage: conformance_upstream.py [--results DIRECTORY] [REVISION:FRONT…]

REVISION is a requirement set of the suite, FRONT the era of the client in front of the bridge: sessions or stateless. Without arguments, RUNS.
Every scenario of the set is played, or stands in conformance_expected.toml under not_applicable; what the bridge cannot do yet stands there as
well, with `behind = ["upstream-FRONT"]`.
"""

import argparse
import concurrent.futures
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import conformance
import report
from bridge import PATIENCE
from conformance_client import SCENARIOS

RUNS = [f"{revision}:{front}" for revision in ("2025-11-25", "2026-07-28") for front in ("sessions", "stateless")]
CLIENT = Path(__file__).with_name("conformance_client.py")
AT_ONCE = 3


def suite(*arguments, seconds=PATIENCE, environment=None):
    """Runs the suite: what it says, on both outputs."""
    command = [str(conformance.NODE), str(conformance.SUITE), *arguments]
    done = subprocess.run(
        command, env={**os.environ, "NO_COLOR": "1", **(environment or {})}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds,
    )
    return done.stdout


def required(revision):
    """The client scenarios of a requirement set, those that are not scored among them."""
    said = suite("list", "--requirements", revision)
    scored = re.search(r"^Client scenarios.*?\n((?:  - \S+\n)+)", said, re.M)
    report.true(scored, f"expected client scenarios for {revision}, came {said}")
    return re.findall(r"- (\S+)", scored.group(1)) + re.findall(r"- (\S+) \[client\]", said)


def not_applicable(scenarios):
    """Scenario → the reason why it is not played. A pattern that names nothing any more is a failure."""
    reasons = {}
    for entry in tomllib.loads(conformance.EXPECTED.read_text()).get("not_applicable", []):
        for pattern in entry["scenarios"]:
            found = fnmatch.filter(scenarios, pattern)
            report.true(found, f"{pattern} is in {conformance.EXPECTED.name} but not in the suite")
            reasons |= dict.fromkeys(found, entry["reason"])
    return reasons


def play(revision, front, scenario, directory):
    """One scenario: its checks, with one more when the client came to no good end."""
    results = directory / f"{revision}-upstream-{front}"
    python = "python3" if " " in sys.executable else sys.executable
    report.true(" " not in str(CLIENT), f"the suite splits the command at spaces, and {CLIENT} has one")
    said = suite(
        "client", "--command", f"{python} {CLIENT} {front}", "--scenario", scenario, "--spec-version", revision, "-o", str(results),
        "--timeout", str(int(2000 * PATIENCE)), seconds=4 * PATIENCE,
    )
    files = sorted(results.glob(f"{scenario}-20*/checks.json"))
    report.true(files, f"{scenario}: expected results, came:\n{said}")
    checks = json.loads(files[-1].read_text())
    if "Client exited with code" in said or "CLIENT TIMED OUT" in said:
        words = files[-1].with_name("stdout.txt").read_text() + files[-1].with_name("stderr.txt").read_text()
        checks.append({"id": "client-ends-well", "status": "FAILURE", "errorMessage": words[-2000:]})
    return checks


def run_one(revision, front, directory):
    """One requirement set behind one kind of client."""
    label, behind = f"conformance {revision} upstream, {front} in front", f"upstream-{front}"
    scenarios = required(revision)
    left_out = not_applicable(scenarios)
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, why in left_out.items() if why == reason]
        print(f"not applicable: {', '.join(names)} ({reason})", flush=True)
    played = [name for name in scenarios if name not in left_out]
    known = conformance.expectations(revision, behind)
    for name in sorted({name for name, _ in known} - set(played)):
        report.fail(f"{label}: {name}", report.Failure(f"is in {conformance.EXPECTED.name} but is not played"), logs=False)
    for name in [name for name in played if name not in SCENARIOS]:
        report.fail(f"{label}: {name}", report.Failure(f"nobody plays it: {CLIENT.name} does not know it"), logs=False)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        played = [name for name in played if name in SCENARIOS]
        for name, checks in zip(played, pool.map(lambda name: play(revision, front, name, directory), played)):
            conformance.judge(label, name, checks, known)


def main():
    """The runs asked for, one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path, help="where the suite's results go (default: a temporary directory, which stays after a failure)")
    parser.add_argument("runs", nargs="*", default=RUNS, metavar="REVISION:FRONT", help=f"default: {' '.join(RUNS)}")
    arguments = parser.parse_args()
    directory = arguments.results or Path(tempfile.mkdtemp(prefix="mcp-bridge-conformance-"))
    shutil.rmtree(directory, ignore_errors=True)
    print(f"results in {directory}", flush=True)
    for run in arguments.runs:
        revision, _, front = run.partition(":")
        report.true(run in RUNS, f"expected one of {RUNS}, came {run}")
        run_one(revision, front, directory)
    if not arguments.results and not report.failed and os.environ.get("KEEP") != "1":
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    report.main(main)
