"""The official conformance suite, `authorization` mode, against the bridge as an authorization server; no warning is accepted.

usage: conformance_authorization.py [--results DIRECTORY] [CLIENT…]

CLIENT is how the suite's client is known to the bridge: `public` stands in the configuration, `document` is named by the address of its metadata
document. A client with a secret cannot be played: where a server lists `none`, as ours does, the suite sends no secret even if it was given one.
The suite prints an address for a person to open; a form browser opens it, logs in, says yes, and goes where it is sent.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.parse
from pathlib import Path

import conformance
import report
from bridge import PATIENCE, Bridge, config, free_port
from client_document import Document
from oauth import FormBrowser, request

CLIENTS = ("public", "document")
SCENARIOS = {"authorization-server-metadata-endpoint", "authorization-code-grant"}


def started(callback, document):
    """A bridge that knows both clients, and a person."""
    more = f"clients: [{{client_id: public, redirect_uris: ['{callback}']}}]\nclient_id_metadata_documents: {{danger_allow_addresses: ['{document.address}']}}\n"
    return Bridge(config("me: {builtin: whoami}", oauth_server=more)).start()


def play(arguments, person, callback, results):
    """Runs the suite, opens the address it prints as the person, and answers scenario → its checks."""
    command = [str(conformance.NODE), str(conformance.SUITE), "authorization", *arguments, "-o", str(results)]
    process = subprocess.Popen(
        command, env={**os.environ, "NO_COLOR": "1"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    watchdog = threading.Timer(2 * PATIENCE, process.kill)
    watchdog.start()
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"https?://\S+/authorize\?\S+", line):
                answer, _ = FormBrowser().follow(found.group(0), *person, callback)
                report.equal(request("GET", answer)[0], 200, "status of the suite's own callback")
        process.wait(PATIENCE)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait(10)
    (results / "suite.log").write_text("".join(said))
    files = results.glob("authorization-server-*/checks.json")
    scenarios = {re.fullmatch(r"authorization-server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z", file.parent.name).group(1): json.loads(file.read_text()) for file in files}
    report.equal(set(scenarios), SCENARIOS, f"scenarios with a result; the suite said:\n{''.join(said)}\nplayed")
    return scenarios


def run_one(client, bridge, callback, document, directory):
    """Both scenarios for one client."""
    label, results = f"conformance authorization, {client} client", directory / client
    arguments = ["--url", bridge.origin, "--resource", bridge.url, "--port", str(urllib.parse.urlsplit(callback).port)]
    arguments += ["--client-id", document.url if client == "document" else client]
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    with report.check(f"{label}: the suite runs"):
        scenarios = play(arguments, bridge.first_user(), callback, results)
    for scenario, checks in sorted(scenarios.items()):
        conformance.judge(label, scenario, checks, {})


def main():
    """The clients asked for, one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path, help="where the suite's results go (default: a temporary directory, which stays after a failure)")
    parser.add_argument("clients", nargs="*", default=CLIENTS, metavar="CLIENT", help=f"default: {' '.join(CLIENTS)}")
    arguments = parser.parse_args()
    directory = arguments.results or Path(tempfile.mkdtemp(prefix="mcp-bridge-conformance-"))
    print(f"results in {directory}", flush=True)
    callback = f"http://127.0.0.1:{free_port()}/callback"
    document = Document(callback)
    with report.check("conformance authorization: the bridge starts"):
        bridge = started(callback, document)
    for client in arguments.clients:
        report.true(client in CLIENTS, f"expected one of {CLIENTS}, came {client}")
        run_one(client, bridge, callback, document, directory)
    with report.check("conformance authorization: the bridge ends"):
        report.equal(bridge.stop(), 0, "exit code")
    if not arguments.results and not report.failed and os.environ.get("KEEP") != "1":
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    report.main(main)
