"""The bridge under test: its configuration, start, readiness, restart, violent death, and the processes it leaves.

Started by hand: `bridge.py [CONFIG]` starts the release binary with a copy of CONFIG (default: the repository's own) and waits for Enter.
"""

import atexit
import http.client
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from pathlib import Path

import report

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("MCP_BRIDGE", ROOT / "target/release/mcp-bridge"))
TOOLS = Path(os.environ.get("TEST_TOOLS", ROOT / "tests/.tools"))
EVERYTHING = TOOLS / "npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
# An authenticated client, a login and a first start need no more; a slow machine gets more.
PATIENCE = float(os.environ.get("TEST_PATIENCE", "30"))


def free_port():
    """A port nobody listens on, below the range the system takes for outgoing connections: a restart must get it again."""
    for _ in range(200):
        port = random.randint(20000, 31999)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise report.Failure("no free port between 20000 and 31999")


def processes():
    """pid → (parent's pid, process group, start time) of every process; zombies are left out, they hold nothing."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in ("Z", "X"):
            table[int(name)] = (int(fields[1]), int(fields[2]), int(fields[19]))
    return table


def command_line(pid):
    """What a process was started with, for messages."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "gone"


class Bridge:
    """One bridge in a directory of its own. The same object can be started again after it ended; it keeps its port."""

    def __init__(self, config, environment=None):
        """`config`: the text of the configuration, with `@PORT@` where the port belongs."""
        self.directory = Path(tempfile.mkdtemp(prefix="mcp-bridge-e2e-"))
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/mcp"
        self.config = self.directory / "config.yaml"
        self.config.write_text(config.replace("@PORT@", str(self.port)))
        self.config.chmod(0o600)
        self.log = self.directory / "bridge.log"
        self.environment = {**os.environ, **(environment or {})}
        self.username = None
        self.password = None
        self.process = None
        report.watch_log("the bridge's log", self.log)
        atexit.register(self.close)

    @classmethod
    def with_repository_config(cls, environment=None):
        """A bridge with the repository's own config.yaml, on a free port; relative paths then lie in its own directory."""
        text = (ROOT / "config.yaml").read_text()
        listen = re.search(r"^\s*listen:\s*[\"']?(\S*?):(\d+)[\"']?\s*(#.*)?$", text, re.MULTILINE)
        if not listen:
            raise report.Failure("config.yaml has no line `listen: ADDRESS:PORT`")
        return cls(re.sub(rf":{listen.group(2)}\b", ":@PORT@", text), environment)

    def start(self):
        """Starts the binary, waits until it is ready, and checks that it prints the address it was told."""
        if not BINARY.exists():
            raise report.Failure(f"no binary at {BINARY}; build it with `cargo build --release`, or set MCP_BRIDGE")
        self.output = []
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            [str(BINARY), "-c", str(self.config)],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        self._reader = threading.Thread(target=self._read_output, args=(self.process.stdout, log), daemon=True)
        self._reader.start()
        report.until(self._is_ready, PATIENCE, lambda: f"{self.origin}/readyz to answer 200 ({self._describe()})", every=0.005)
        report.until(lambda: self.url in self.printed(), 5, lambda: f"{self.url} on standard output ({self._describe()})")
        return self

    def _read_output(self, stream, log):
        """Keeps what the bridge prints, for the address and the password, and puts it into the log too."""
        for line in stream:
            self.output.append(line.decode(errors="replace"))
            log.write(line)
            log.flush()
        log.close()

    def printed(self):
        """Everything on standard output since the last start."""
        return "".join(self.output)

    def _describe(self):
        code = self.process.poll()
        return f"exit code {code}, printed {self.printed()!r}" if code is not None else f"running, printed {self.printed()!r}"

    def _is_ready(self):
        code = self.process.poll()
        if code is not None:
            self._reader.join(5)
            raise report.Failure(f"the bridge ended with exit code {code} at start; it printed {self.printed()!r}")
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def get(self, path, headers=None):
        """A plain request: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def first_user(self):
        """Login name and password as printed once at the first start."""
        if self.password is None:
            found = report.until(
                lambda: re.search(r"^\s*password\s+(\S+)", self.printed(), re.M), 5, lambda: f"a line `password …` ({self._describe()})"
            )
            login = re.search(r"^\s*login\s+(\S+)", self.printed(), re.M)
            report.true(login, f"expected a line `login …` on standard output, came {self.printed()!r}")
            self.username, self.password = login.group(1), found.group(1)
        return self.username, self.password

    def add_user(self, name, password, scopes="mcp:read mcp:write"):
        """Adds a user as an operator would; needs a free store, so call it before `start` or while the bridge runs."""
        done = subprocess.run(
            [str(BINARY), "user", "add", name, "--scopes", scopes, "-c", str(self.config)],
            cwd=self.directory, env=self.environment, input=password + "\n", text=True, capture_output=True, timeout=PATIENCE,
        )
        if done.returncode != 0:
            raise report.Failure(f"user add {name}: expected exit code 0, came {done.returncode}: {done.stdout}{done.stderr}")

    def descendants(self):
        """pid → start time of everything the bridge started, and what those started."""
        table = processes()
        found, todo = {}, [self.process.pid]
        while todo:
            parent = todo.pop()
            for pid, (above, _, started) in table.items():
                if above == parent and pid not in found:
                    found[pid] = started
                    todo.append(pid)
        return found

    def stop(self, seconds=PATIENCE):
        """SIGTERM, and the exit code; a bridge that does not end is a failure."""
        self.process.send_signal(signal.SIGTERM)
        return self._wait(seconds, "SIGTERM")

    def kill(self):
        """`kill -9`."""
        self.process.kill()
        self._wait(10, "SIGKILL")

    def _wait(self, seconds, signal_name):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise report.Failure(f"the bridge still runs {seconds} s after {signal_name}") from None
        # A child that outlives the bridge may hold the pipe open; that is checked elsewhere, by pid.
        self._reader.join(2)
        return code

    def close(self):
        """Ends whatever still runs, by pid, and removes the directory (kept with KEEP=1)."""
        if self.process is not None and self.process.poll() is None:
            left = self.descendants()
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            kill_left(left)
        if os.environ.get("KEEP") != "1" and not report.failed:
            shutil.rmtree(self.directory, ignore_errors=True)


def still_running(started):
    """Those of `started` (pid → start time) that are still the same process."""
    table = processes()
    return {pid: time for pid, time in started.items() if pid in table and table[pid][2] == time}


def kill_left(started):
    """Kills what is left of `started`, by pid."""
    for pid in still_running(started):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def expect_gone(started, seconds, when):
    """Demands that every process of `started` ends within `seconds`."""
    def describe():
        left = {pid: command_line(pid) for pid in still_running(started)}
        kill_left(started)
        return f"no process left {when}; left: {left}"

    report.until(lambda: not still_running(started), seconds, describe, every=0.05)


def config(upstreams, server="", oauth_server=""):
    """A configuration for tests: one first user, open registration for loopback clients, no throttling of many quick logins.

    `upstreams` is YAML for the section of that name; `server` and `oauth_server` are further lines of those sections.
    """
    def indent(text, by):
        return "".join(f"{' ' * by}{line}\n" for line in text.strip("\n").splitlines() if line.strip())

    return (
        "server:\n"
        "  listen: 127.0.0.1:@PORT@\n"
        "  rate_limit:\n    login: {limit: 0}\n"
        f"{indent(server, 2)}"
        "  oauth_server:\n"
        "    enabled: true\n"
        "    allow_dynamic_registration: true\n"
        "    allowed_redirect_uris: ['@loopback']\n"
        "    builtin:\n      create_first_user: true\n"
        f"{indent(oauth_server, 4)}"
        f"upstreams:\n{indent(upstreams, 2)}"
    )


def everything_upstream(name="everything"):
    """The reference server of the protocol, as a stdio child, as an operator would write it."""
    if not EVERYTHING.exists():
        raise report.Failure(f"no {EVERYTHING}; tests/run installs it")
    return f"{name}:\n  command: node\n  args: [{str(EVERYTHING)!r}, stdio]\n"


def child_upstream(name, *arguments):
    """Our own scriptable child, see child.py."""
    quoted = ", ".join(repr(str(argument)) for argument in (Path(__file__).with_name("child.py"), *arguments))
    return f"{name}:\n  command: {sys.executable!r}\n  args: [{quoted}]\n"


def redirect_uri_of(authorization_url):
    """Where an authorization request wants its answer."""
    return urllib.parse.parse_qs(urllib.parse.urlsplit(authorization_url).query)["redirect_uri"][0]


if __name__ == "__main__":
    bridge = Bridge((Path(sys.argv[1]).read_text())) if len(sys.argv) > 1 else Bridge.with_repository_config()
    bridge.start()
    print(bridge.printed(), f"directory {bridge.directory}", sep="\n")
    input("Enter stops it. ")
    bridge.stop()
