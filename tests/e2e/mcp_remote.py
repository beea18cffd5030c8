"""mcp-remote (npm 0.15.1) as Claude Desktop runs it: a stdio server to its host, an OAuth client to the bridge."""

import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import browser
import report
from bridge import PATIENCE, TOOLS, Bridge, config, everything_upstream, expect_gone
from report import check

PACKAGE = TOOLS / "npm/node_modules/mcp-remote"
VERSION = "0.15.1"


class McpRemote:
    """One mcp-remote process: its stdio, what it says, and the addresses it wants opened."""

    def __init__(self, url, home):
        self.home, self.answers, self.next_id = home, queue.Queue(), 0
        self.opened = home / "opened"
        self.opened.unlink(missing_ok=True)
        self.log = home / "mcp-remote.log"
        report.watch_log("mcp-remote's log", self.log)
        # What it opens a browser with: its own copy of xdg-open asks $BROWSER, the system's comes first in PATH.
        opener = home / "bin/xdg-open"
        opener.parent.mkdir(exist_ok=True)
        opener.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{self.opened}'\n")
        opener.chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        environment |= {
            "HOME": str(home), "MCP_REMOTE_CONFIG_DIR": str(home / "config"), "BROWSER": str(opener),
            "PATH": f"{opener.parent}:{os.environ['PATH']}",
        }
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            ["node", str(PACKAGE / "dist/proxy.js"), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, cwd=home
        )
        log.close()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(None)

    def wanted(self):
        """The address it asked to open, once it did."""
        def look():
            report.true(self.process.poll() is None, f"mcp-remote ended with exit code {self.process.poll()}")
            return self.opened.exists() and self.opened.read_text().endswith("\n") and self.opened.read_text().splitlines()

        return report.until(look, PATIENCE, "mcp-remote to open a browser")[-1]

    def send(self, message):
        """One line to its standard input."""
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def request(self, method, params=None):
        """A request and its result; notifications on the way are passed over."""
        self.next_id += 1
        self.send({"id": self.next_id, "method": method, "params": params or {}})
        while True:
            try:
                line = self.answers.get(timeout=2 * PATIENCE)
            except queue.Empty:
                raise report.Failure(f"no answer to {method} within {2 * PATIENCE} s") from None
            if line is None:
                raise report.Failure(f"mcp-remote closed its output instead of answering {method}")
            message = json.loads(line)
            if message.get("id") == self.next_id and "method" not in message:
                if "result" not in message:
                    raise report.Failure(f"{method}: expected a result, came {message}")
                return message["result"]

    def initialize(self):
        """The handshake, as Claude Desktop sends it."""
        result = self.request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "claude-ai", "version": "0.1.0"}})
        self.send({"method": "notifications/initialized"})
        return result

    def call(self, tool, arguments):
        """A tool call: its text."""
        result = self.request("tools/call", {"name": tool, "arguments": arguments})
        report.true(not result.get("isError"), f"{tool}: expected a result, came {result}")
        return "".join(part.get("text", "") for part in result["content"])

    def close(self):
        """Its host goes away: standard input ends."""
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait(10)


def tokens_file(home):
    """Where mcp-remote keeps its tokens."""
    found = list((home / "config").rglob("*_tokens.json"))
    report.equal(len(found), 1, f"token files below {home / 'config'}")
    return found[0]


def story(what, bridge, tool, arguments, expected):
    """Login, calls, a second start without login, and a refresh."""
    home = Path(tempfile.mkdtemp(prefix="mcp-remote-"))
    with check(f"mcp-remote, {what}: the bridge starts"):
        bridge.start()
        username, password = bridge.first_user()
    remote = McpRemote(bridge.url, home)
    try:
        with check(f"mcp-remote, {what}: discovery, registration, login and consent in a browser without JavaScript"):
            visit = browser.authorize(remote.wanted(), username, password, javascript=False)
            report.equal(visit["pages"], ["login", "consent"], "pages seen by the person")
        with check(f"mcp-remote, {what}: initialize, tools/list, tools/call over its stdio"):
            result = remote.initialize()
            report.true(result["serverInfo"]["name"], f"expected the server's name, came {result}")
            names = [definition["name"] for definition in remote.request("tools/list")["tools"]]
            report.contains(names, tool, "names of the tools")
            for _ in range(20):
                report.contains(remote.call(tool, arguments), expected, f"answer of {tool}")
        remote.close()
        with check(f"mcp-remote, {what}: started again, it connects without asking anybody"):
            remote = McpRemote(bridge.url, home)
            remote.initialize()
            report.contains(remote.call(tool, arguments), expected, f"answer of {tool}")
            report.true(not remote.opened.exists(), "expected no browser to be opened")
        remote.close()
        with check(f"mcp-remote, {what}: with an expired token it refreshes without asking anybody"):
            path = tokens_file(home)
            before = json.loads(path.read_text())
            report.true("expires_at" in before, f"expected expires_at in {path.name}, came {sorted(before)}")
            # As one that has expired it is refused too: where mcp-remote's own try before its first request fails, it goes on with what it has.
            path.write_text(json.dumps({**before, "expires_at": 1, "access_token": before["access_token"][:-8] + "AAAAAAAA"}))
            remote = McpRemote(bridge.url, home)
            remote.initialize()
            report.contains(remote.call(tool, arguments), expected, f"answer of {tool}")
            after = json.loads(path.read_text())
            report.true(after["refresh_token"] != before["refresh_token"], "expected another refresh token: they rotate")
            report.true(after["access_token"] != before["access_token"], "expected another access token")
            report.true(not remote.opened.exists(), "expected no browser to be opened")
    finally:
        remote.close()
        if not report.failed:
            shutil.rmtree(home, ignore_errors=True)
    with check(f"mcp-remote, {what}: SIGTERM ends the bridge with exit code 0 and leaves no process"):
        left = bridge.descendants()
        report.equal(bridge.stop(), 0, "exit code after SIGTERM")
        expect_gone(left, 5, "after SIGTERM")


def run():
    """Both upstreams."""
    with check(f"mcp-remote is {VERSION}"):
        report.equal(json.loads((PACKAGE / "package.json").read_text())["version"], VERSION, "installed version of mcp-remote")
    story("builtin whoami, the repository's config.yaml", Bridge.with_repository_config(), "whoami", {}, "admin")
    story("server-everything (stdio)", Bridge(config(everything_upstream())), "get-sum", {"a": 19, "b": 23}, "is 42")


if __name__ == "__main__":
    report.main(run)
