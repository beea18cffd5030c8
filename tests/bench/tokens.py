"""The authorization server: refreshes that are synced to disk, beside oidc-provider in memory; authorizations, introspections, and logins beside calls."""

import base64
import json
import os
import secrets
import subprocess
import threading
import urllib.parse

import report
from measure import HERE, MEASURED, ROUNDS, SECONDS_EACH, SMOKE, aim, core, keep, line, load, median, ratio, rows, spread, table
from ways import Ways, log_in

import bridge as bridges
import oauth
from client_document import Document

CONNECTIONS = (1, 4) if SMOKE else (1, 16, 64)
MOST = CONNECTIONS[-1]
SECRET = secrets.token_urlsafe(32)
LOGIN_THREADS = 8


def run():
    """All of it, on one bridge."""
    print("\n## Tokens\n")
    with Ways() as ways, OidcProvider(ways) as other:
        document = Document(oauth.REDIRECT_URI)
        secret = f"clients: [{{client_id: secret, client_secret: '{SECRET}', redirect_uris: ['{oauth.REDIRECT_URI}']}}]\n"
        way = ways.bridge_to_http(ways.echo()[0], oauth_server=f"{secret}client_id_metadata_documents: {{danger_allow_addresses: ['{document.address}']}}")
        bridge = ways.bridges[-1]
        jobs = [Refreshes(ways, "bridge", bridge.origin, bridge.process.pid, "/oauth/token", chains(bridge)), other.refreshes(ways)]
        jobs.append(authorizations(ways, bridge, document))
        jobs += introspections(ways, bridge, other)
        for number in range(ROUNDS):
            for connections in CONNECTIONS:
                # What is compared stands side by side, and no one is always the first.
                for job in jobs if number % 2 == 0 else jobs[::-1]:
                    job.measure(number, connections)
        _print(jobs)
        _logins(way, bridge)


class Job:
    """One request, again and again, at one server."""

    def __init__(self, ways, what, who, origin, pid, lines, *options):
        self.what, self.who, self.origin, self.pid, self.options = what, who, origin, pid, options
        self.file = ways.directory / f"{what}-{who}.requests"
        self.file.touch(0o600)
        self.file.write_text("".join(json.dumps(one) + "\n" for one in lines))

    def measure(self, number, connections):
        """One round."""
        row = load("requests", "--url", f"{self.origin}/", "--pid", self.pid, "--requests", self.file, "--connections", connections, "--seconds", SECONDS_EACH, *self.options)
        keep("tokens", job=self.what, who=self.who, round=number, **row)

    def values(self, connections, name):
        """A figure of all rounds."""
        found = rows("tokens", job=self.what, who=self.who, connections=connections)
        return [row["cpu_us"]["alone"] if name == "cpu" else row[name] for row in found]


class Refreshes(Job):
    """Each connection has a chain of refresh tokens of its own."""

    def __init__(self, ways, who, origin, pid, path, chains):
        lines = [{**form(path, {"grant_type": "refresh_token", "client_id": client, "refresh_token": "@TOKEN@"}), "token": token} for client, token in chains]
        super().__init__(ways, "refresh", who, origin, pid, lines, "--contains", '"access_token":"ey')


def form(path, fields, headers=""):
    """A form for the load tool."""
    body = urllib.parse.urlencode(fields, safe="@")
    return {"method": "POST", "path": path, "headers": f"Content-Type: application/x-www-form-urlencoded\r\n{headers}", "body": body}


def basic(secret):
    """The client named `secret` proves itself."""
    return f"Authorization: Basic {base64.b64encode(f'secret:{secret}'.encode()).decode()}\r\n"


def chains(bridge):
    """(client, refresh token) of so many logins."""
    return [(client.client_id, client.refresh_token) for client in log_in(bridge, MOST)]


class OidcProvider:
    """oidc-provider in memory, on the core of what is measured, for a `with`."""

    def __init__(self, ways):
        self.port, self.log = bridges.free_port(), ways.directory / "oidc-provider.log"

    def __enter__(self):
        environment = {**os.environ, "TEST_TOOLS": str(bridges.TOOLS), "NODE_ENV": "production"}
        with core(MEASURED):
            self.process = subprocess.Popen(
                ["node", str(HERE / "oidc.mjs")], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.log, "wb"), text=True,
            )
        settings = {"port": self.port, "count": MOST, "secret": SECRET, "resource": "http://127.0.0.1:1/mcp"}
        self.process.stdin.write(json.dumps(settings) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        report.true(answer, f"oidc-provider ended; it said: {report.tail(self.log)}")
        self.given = json.loads(answer)
        self.origin = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def refreshes(self, ways):
        """Its refreshes."""
        return Refreshes(ways, "oidc-provider", self.origin, self.process.pid, "/token", [("bench", token) for token in self.given["tokens"]])


def authorizations(ways, bridge, document):
    """Authorization requests of somebody who is not logged in, of a client whose document is in memory: each stores a flow and answers with the login page."""
    client = oauth.Client(bridge.url).discover()
    client.client_id = document.url
    path = client.authorization_url().removeprefix(bridge.origin)
    one = {"method": "GET", "path": path, "headers": "Accept: text/html\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n", "body": ""}
    status = bridge.get(path, {"Accept": "text/html"})[0]
    report.true(status in (200, 303), f"expected a page or the way to one, came {status}")
    return Job(ways, "authorize", "bridge", bridge.origin, bridge.process.pid, [one] * MOST, "--expect", status)


def introspections(ways, bridge, other):
    """A refresh token, asked about again and again; nothing where the bridge has no such endpoint."""
    client = oauth.Client(bridge.url).discover()
    endpoint = client.metadata.get("introspection_endpoint")
    if not endpoint:
        print("introspections are left out: this bridge has none\n")
        return []
    client.client_id = "secret"
    answer, _ = oauth.FormBrowser().authorize(client.authorization_url(), *bridge.first_user())
    code = {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": client.redirect_uri, "code_verifier": client.verifier}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": basic(SECRET).split(": ", 1)[1].strip()}
    tokens = oauth.fetch_json("POST", client.metadata["token_endpoint"], "token request", headers, urllib.parse.urlencode(code))
    asked = ((bridge.origin, bridge.process.pid, "bridge", urllib.parse.urlsplit(endpoint).path, tokens["refresh_token"]),
             (other.origin, other.process.pid, "oidc-provider", "/token/introspection", other.given["introspected"]))
    return [Job(ways, "introspect", who, origin, pid, [form(path, {"token": token}, basic(SECRET))] * MOST, "--contains", '"active":true')
            for origin, pid, who, path, token in asked]


def _print(jobs):
    table("request", "server", "connections", "a second", "p50 ms", "p99 ms", "CPU µs each", "a second ÷ oidc-provider", "CPU ÷ oidc-provider")
    others = {job.what: job for job in jobs if job.who == "oidc-provider"}
    for job in jobs:
        for connections in CONNECTIONS:
            other = others.get(job.what)
            divided = [ratio(median(job.values(connections, name)), median(other.values(connections, name))) if other else "–" for name in ("per_second", "cpu")]
            line(
                job.what, job.who, connections, spread(job.values(connections, "per_second")),
                *(spread([value / 1000 for value in job.values(connections, name)], 2) for name in ("p50_us", "p99_us")),
                spread(job.values(connections, "cpu"), 0), *divided,
            )
    print("\nThe bridge answers a refresh when it is on disk; oidc-provider keeps it in memory. Both sign a JWT with ES256.")
    ours, theirs = jobs[0], jobs[1]
    rate = median(ours.values(MOST, "per_second"))
    aim(f"refreshes at {MOST} connections", 1700, rate, "/s", least=True)
    for connections in CONNECTIONS:
        aim(f"refreshes at {connections} connections ÷ oidc-provider in memory", 1, _beside(ours, theirs, connections), least=True)
    for asked in (job for job in jobs if job.what == "introspect" and job.who == "bridge"):
        aim(f"introspections at {MOST} connections ÷ oidc-provider in memory", 1, _beside(asked, others["introspect"], MOST), least=True)
    aim("authorizations, document in memory", 500, median(jobs[2].values(MOST, "per_second")), "/s", least=True)


def _beside(ours, theirs, connections):
    """How many times as many a second: the median of what each round says, as the machine is another in each."""
    return median([one / other for one, other in zip(ours.values(connections, "per_second"), theirs.values(connections, "per_second"))])


def _logins(way, bridge):
    """Calls alone, and beside people who log in as fast as they can."""
    alone = [way.calls("--connections", CONNECTIONS[1], "--seconds", SECONDS_EACH) for _ in range(ROUNDS)]
    stop, done = threading.Event(), []
    threads = [threading.Thread(target=_log_in, args=(bridge, stop, done), daemon=True) for _ in range(LOGIN_THREADS)]
    for thread in threads:
        thread.start()
    beside = [way.calls("--connections", CONNECTIONS[1], "--seconds", SECONDS_EACH) for _ in range(ROUNDS)]
    stop.set()
    for thread in threads:
        thread.join(60)
    seconds = ROUNDS * (SECONDS_EACH + 0.5)
    accepted = sum(outcome == "in" for outcome in done)
    keep("logins", accepted=accepted, refused=len(done) - accepted, seconds=seconds)
    print(f"\n{LOGIN_THREADS} people log in without pause: {accepted / seconds:.1f} logins a second, {(len(done) - accepted) / seconds:.1f} told to wait\n")
    table("calls", "a second", "p50 ms", "p99 ms")
    for name, found in (("alone", alone), ("beside logins", beside)):
        line(name, spread([row["per_second"] for row in found]), spread([row["p50_us"] / 1000 for row in found], 2), spread([row["p99_us"] / 1000 for row in found], 2))
    report.true(accepted, "nobody could log in")
    aim("calls beside logins ÷ calls alone, on one core", 0.7, median([row["per_second"] for row in beside]) / median([row["per_second"] for row in alone]), least=True)


def _log_in(bridge, stop, done):
    """One person after another, each in a new browser."""
    client = oauth.Client(bridge.url).discover().register()
    while not stop.is_set():
        browser = oauth.FormBrowser()
        page, _ = browser.open(client.authorization_url())
        login = page.form_with(field="password")
        page, status = browser.submit(login, dict(zip(("username", "password"), bridge.first_user())), (login.buttons or [None])[0])
        done.append("in" if isinstance(page, str) or page.form_with(button=("decision", "allow")) else status)
