"""Headless Chromium as the person in front of the pages (see browser.mjs), and the loopback address a client waits at."""

import contextlib
import http.server
import json
import os
import subprocess
import threading
import urllib.parse
from pathlib import Path

import report

SCRIPT = Path(__file__).with_name("browser.mjs")


def _run(mode, task, seconds):
    environment = {**os.environ, "TEST_TOOLS": os.environ.get("TEST_TOOLS", str(SCRIPT.parents[1] / ".tools"))}
    try:
        done = subprocess.run(
            ["node", str(SCRIPT), mode], input=json.dumps(task), text=True, capture_output=True, timeout=seconds, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise report.Failure(f"the browser took more than {seconds} s: {error.stderr}") from None
    if done.returncode != 0:
        raise report.Failure(f"the browser: {done.stderr.strip()}")
    return json.loads(done.stdout)


def authorize(url, username, password, **more):
    """Logs in and decides; `more`: decision, profile, javascript. Answers the pages seen and the visited redirect URI."""
    return _run("authorize", {"url": url, "username": username, "password": password, **more}, 180)


def pictures(**task):
    """Pictures and problems of every page; see browser.mjs for the task."""
    return _run("pictures", task, 600)


class Callback:
    """The loopback address of a native client (RFC 8252 §7.3): takes one answer after another."""

    def __init__(self):
        answers = self._answers = []
        arrived = self._arrived = threading.Condition()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urllib.parse.urlsplit(self.path)
                if parts.path == "/callback":
                    with arrived:
                        answers.append(dict(urllib.parse.parse_qsl(parts.query)))
                        arrived.notify_all()
                self.send_response(200 if parts.path == "/callback" else 404)
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # a browser that was closed at once
                    self.wfile.write(b"You may close this window.\n")

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}/callback"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, seconds=60):
        """The parameters of the next answer."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._answers, seconds):
                raise report.Failure(f"nothing came to {self.uri} within {seconds} s")
            return self._answers.pop(0)
