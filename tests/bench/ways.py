"""The ways to the tool: directly, through nginx, through mcp-proxy, through the bridge. Starts them, and ends them all."""

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from measure import BUILT, HERE, MEASURED, OTHERS, ROOT, core, load

import bridge as bridges
import report
from es256 import Issuer
from oauth import Client, FormBrowser

ECHO = BUILT / "mcp-echo"
MCP_PROXY = ROOT / "target/bench/bin/mcp-proxy"


class Way:
    """One way: its address, the process that is measured, and what a client needs to know."""

    def __init__(self, name, url, pid, token_file=None, tool="echo", era="sessions", counts="alone"):
        self.name, self.url, self.pid, self.token_file = name, url, pid, token_file
        self.tool, self.era, self.counts = tool, era, counts

    def load(self, mode, *options):
        """Runs the load tool on this way."""
        tokens = ["--token-file", self.token_file] if self.token_file else []
        return load(mode, "--url", self.url, "--pid", self.pid, "--era", self.era, *tokens, *options)

    def calls(self, *options):
        """Calls of the tool."""
        return self.load("calls", "--tool", self.tool, *options)

    def cpu(self, row):
        """The processor time per call that is this way's own: nginx works in a child, and a stdio server counts where said."""
        return row["cpu_us"][self.counts]


class Ways:
    """What was started, for a `with`: all of it ends with it."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="mcp-bridge-bench-"))
        self.processes, self.bridges, self.issuer = [], [], None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for bridge in self.bridges if kind else ():
            print(f"--- end of {bridge.log}\n{report.tail(bridge.log, 20)}")
        self.stop()

    def stop(self):
        """Ends everything."""
        for bridge in self.bridges:
            bridge.close()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)
        if self.issuer is not None:
            self.issuer.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self, where, command, port):
        log = self.directory / f"{port}.log"
        with core(where):
            self.processes.append(subprocess.Popen([*map(str, command)], stdout=open(log, "wb"), stderr=subprocess.STDOUT))
        report.until(lambda: _answers(port), 20, lambda: f"{command[0]} to listen on port {port}; it said: {report.tail(log)}")
        return self.processes[-1].pid

    def echo(self, *options, where=OTHERS):
        """The tool's server: port and process."""
        port = bridges.free_port()
        return port, self._start(where, [ECHO, "--http", f"127.0.0.1:{port}", *options], port)

    def direct(self):
        """The server itself, on the core of what is measured."""
        port, pid = self.echo(where=MEASURED)
        return Way("direct", f"http://127.0.0.1:{port}/mcp", pid)

    def nginx(self, upstream):
        """nginx before a server."""
        port = bridges.free_port()
        text = (HERE / "nginx.conf").read_text()
        for name, value in {"DIRECTORY": self.directory, "UPSTREAM": upstream, "PORT": port}.items():
            text = text.replace(f"@{name}@", str(value))
        path = self.directory / f"nginx-{port}.conf"
        path.write_text(text)
        pid = self._start(MEASURED, ["nginx", "-p", self.directory, "-c", path], port)
        return Way("nginx", f"http://127.0.0.1:{port}/mcp", pid, counts="with_children")

    def mcp_proxy(self, name, backend):
        """mcp-proxy of crates.io before a server. It checks tokens as the bridge does, by a key set."""
        port = bridges.free_port()
        address = f"http://127.0.0.1:{port}"
        if self.issuer is None:
            self.issuer = Issuer(self.directory)
        token_file = self.directory / f"{port}.token"
        token_file.touch(0o600)
        token_file.write_text(self.issuer.token(address))
        path = self.directory / f"mcp-proxy-{port}.toml"
        path.write_text(
            f'[proxy]\nname = "bench"\nseparator = "_"\n[proxy.listen]\nhost = "127.0.0.1"\nport = {port}\n'
            f'[[backends]]\nname = "up"\n{backend}\n'
            f'[auth]\ntype = "jwt"\nissuer = "{self.issuer.url}"\naudience = "{address}"\njwks_uri = "{self.issuer.url}/jwks"\n'
            '[security]\nadmin_token = "of-this-run-only"\n[observability]\nlog_level = "error"\n'
        )
        pid = self._start(MEASURED, [MCP_PROXY, "--config", path], port)
        return Way(name, f"{address}/", pid, token_file, tool="up_echo", counts="with_children")

    def bridge(self, name, upstream, server="", oauth_server="", tokens=1, counts="alone"):
        """The bridge before a server, and tokens as clients get them."""
        bridge = bridges.Bridge(bridges.config(upstream, server, oauth_server))
        self.bridges.append(bridge)
        with core(MEASURED):
            bridge.start()
        clients = log_in(bridge, tokens)
        token_file = self.directory / f"{bridge.port}.tokens"
        token_file.touch(0o600)
        token_file.write_text("".join(f"{client.access_token}\n" for client in clients))
        return Way(name, bridge.url, bridge.process.pid, token_file, counts=counts)

    def bridge_to_http(self, upstream, name="bridge to HTTP", **more):
        """The bridge before a server that listens on this port."""
        return self.bridge(name, f"echo: {{url: 'http://127.0.0.1:{upstream}/mcp'}}\n", **more)

    def bridge_to_stdio(self, name="bridge to stdio", **more):
        """The bridge before one child for all; the child runs beside it, on its core."""
        return self.bridge(name, f"echo: {{command: '{ECHO}', args: [--stdio]}}\n", **more)


def log_in(bridge, count):
    """So many clients, each registered and with a token of its own, of one person in one browser."""
    browser, user, found = FormBrowser(), bridge.first_user(), []
    for number in range(count):
        found.append(Client(bridge.url, f"bench {number}").login(browser, *user))
    return found


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
