"""What survives a restart and `kill -9` at any moment: refresh tokens, the client, the consent; sessions recover; no process is left.

ITERATIONS: rounds of the crash loop (default 20). FAMILIES: refresh-token chains refreshed at once in each round (default 24).
READY_SECONDS: how long a start may take (default 1.0).
"""

import http.client
import json
import os
import random
import shutil
import sqlite3
import tempfile
import threading
import time
import urllib.parse

import browser
import report
from bridge import Bridge, child_upstream, config, everything_upstream, expect_gone, still_running
from oauth import Client, FormBrowser, Session, Threads
from report import check

ITERATIONS = int(os.environ.get("ITERATIONS", "20"))
FAMILIES = int(os.environ.get("FAMILIES", "24"))
CALLERS = 4
READY_SECONDS = float(os.environ.get("READY_SECONDS", "1.0"))
GRACE = "1s"


class Family:
    """One chain of refresh tokens as its holder knows it: what was acknowledged, and whether the last request got an answer."""

    def __init__(self, client):
        self.client, self.acknowledged, self.lost = client, [client.refresh_token], False

    def storm(self, stop):
        """Refreshes without pause until the bridge dies; an answer that is not 200 is a violation."""
        parts = urllib.parse.urlsplit(self.client.metadata["token_endpoint"])
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        while not stop.is_set():
            try:
                status, answer = self.client.try_refresh(self.acknowledged[-1], connection)
            except (OSError, http.client.HTTPException):
                self.lost = True
                return
            report.equal((status, answer.get("error")), (200, None), f"a refresh with the newest token (of {len(self.acknowledged)})")
            self.acknowledged.append(answer["refresh_token"])
            self.client.access_token = answer["access_token"]

    def recover(self):
        """After the crash: the newest acknowledged token must work, and so must what it gives."""
        for step in ("the newest acknowledged token", "its successor"):
            status, answer = self.client.try_refresh(self.acknowledged[-1])
            how = "the last request had no answer" if self.lost else "every request had its answer"
            report.equal((status, answer.get("error")), (200, None), f"{step} after the crash ({how}, {len(self.acknowledged)} tokens)")
            self.acknowledged.append(answer["refresh_token"])
            self.client.access_token = answer["access_token"]
        self.lost = False


def call_until_dead(session, name, stop, made):
    """Tool calls until the bridge dies; every answer that comes must be right."""
    number = 0
    while not stop.is_set():
        number += 1
        arguments = {"caller": name, "number": number}
        try:
            text = session.call(number, "child__echo", arguments)
        except (OSError, http.client.HTTPException):
            return
        report.equal(json.loads(text), arguments, f"{name}'s answer")
        made.append(number)


def expect_recovery(session, old_id):
    """The session client's way back: 404 for the old session, initialize, and it works."""
    session = Session(session.client, old_id)
    status, _, messages = session.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    report.equal(status, 404, f"status for a session of the process before ({messages})")
    fresh = Session(session.client).initialize()
    report.until(lambda: "child__echo" in fresh.tools(), 10, "the child's tools after the restart")
    arguments = {"caller": "again", "number": 1}
    report.equal(json.loads(fresh.call(1, "child__echo", arguments)), arguments, "answer after the restart")
    return fresh


def expect_sound_store(bridge):
    """The database as the dead process left it, looked at in a copy."""
    databases = list(bridge.directory.rglob("*.db"))
    report.equal(len(databases), 1, "databases in the bridge's directory")
    copy = tempfile.mkdtemp(prefix="mcp-bridge-store-")
    try:
        for path in databases[0].parent.glob(databases[0].name + "*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, copy)
        connection = sqlite3.connect(os.path.join(copy, databases[0].name))
        report.equal(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity_check after kill -9")
        connection.close()
    finally:
        shutil.rmtree(copy)


def timed_start(bridge, limit):
    """Starts again; a bridge that needs longer than the limit is a failure."""
    started = time.monotonic()
    bridge.start()
    took = time.monotonic() - started
    report.true(took < limit, f"expected ready within {limit} s, came {took:.2f} s")
    return took


def orderly(bridge, client, profile, username, password):
    """SIGTERM and start: everything is remembered."""
    with check("restart: SIGTERM ends with exit code 0 and leaves no process, grandchildren included"):
        session = Session(client).initialize()
        report.until(lambda: {"child__echo", "everything__echo"} <= set(session.tools()), 20, "the tools of both upstreams")
        left = bridge.descendants()
        report.true(len(left) >= 4, f"expected two children and two grandchildren, came {len(left)} processes")
        report.equal(bridge.stop(), 0, "exit code after SIGTERM")
        expect_gone(left, 5, "after SIGTERM")
    remembered(bridge, client, session.id, profile, username, password, "restart")


def remembered(bridge, client, session_id, profile, username, password, when):
    """Everything a client and a person rely on after the bridge was away."""
    with check(f"{when}: ready again, the session's client is told 404, initialises anew and works"):
        timed_start(bridge, READY_SECONDS)
        expect_recovery(Session(client), session_id)
    with check(f"{when}: the same refresh token and the same client_id still work"):
        client.refresh()
        Session(client).initialize().tools()
    # Somebody who is logged in has one page to say yes on; somebody who logs in has the login page.
    for browser_of, where, pages in ((profile, "the same browser knows the person", ["consent"]),
                                     (None, "another browser knows what the person allowed", ["login"])):
        with check(f"{when}: {where}"):
            visit = browser.authorize(client.authorization_url(), username, password, profile=browser_of)
            report.equal(visit["pages"], pages, "pages seen by the person")
            client.redeem(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(visit["url"]).query)))
            Session(client).initialize().tools()


def crash_once(bridge, families, sessions, moment, warm):
    """One round: storms, kill -9 after `moment` seconds (when `warm`, counted from the first answered call), restart, and the ledger."""
    threads, made, before = Threads(), [], sum(len(family.acknowledged) for family in families)
    left = bridge.descendants()
    for family in families:
        threads.start(family.storm, threads.stop)
    for number, session in enumerate(sessions):
        threads.start(call_until_dead, session.sibling(), f"caller-{number}", threads.stop, made)
    if warm:
        report.until(lambda: made or threads.errors, 10, "a call to be answered")
    threading.Event().wait(moment)  # the moment of death is the random input of this test, nothing is waited for
    left |= bridge.descendants()
    bridge.kill()
    threads.stop.set()
    threads.join(30)
    expect_gone(left, 5, "after kill -9")
    expect_sound_store(bridge)
    took = timed_start(bridge, READY_SECONDS)
    for family in families:
        family.recover()
    recovered = [expect_recovery(session, session.id) for session in sessions]
    return recovered, sum(len(family.acknowledged) for family in families) - before - 2 * len(families), len(made), took


def crash_loop(bridge, username, password):
    """The ledger over many deaths, and at its end: what was used up stays used up."""
    with check(f"crash loop: {FAMILIES} clients log in"):
        families = [Family(Client(bridge.url, f"family-{number}").login(FormBrowser(), username, password)) for number in range(FAMILIES)]
        sessions = [Session(family.client).initialize() for family in families[:CALLERS]]
    refreshes = calls = 0
    slowest = 0.0
    with check(f"crash loop: {ITERATIONS} × kill -9 during refreshes and calls: nothing acknowledged is lost, nothing is left behind"):
        for iteration in range(ITERATIONS):
            moment, warm = random.uniform(0.005, 0.4), iteration % 2 == 0
            sessions, more_refreshes, more_calls, took = crash_once(bridge, families, sessions, moment, warm)
            refreshes, calls, slowest = refreshes + more_refreshes, calls + more_calls, max(slowest, took)
        print(f"  {refreshes} refreshes and {calls} calls were answered before the kills; slowest start {slowest:.2f} s")
        report.true(refreshes > 0 and calls > 0, f"expected work before the kills, came {refreshes} refreshes and {calls} calls")
    with check("crash loop: tokens whose successor was used never work again, and using one ends its family"):
        for family in random.sample(families, min(4, len(families))):
            old = random.choice(family.acknowledged[:2])  # used long before the grace period, every time
            status, answer = family.client.try_refresh(old)
            report.equal((status, answer.get("error")), (400, "invalid_grant"), "an old token after the crashes")
            status, answer = family.client.try_refresh(family.acknowledged[-1])
            report.equal((status, answer.get("error")), (400, "invalid_grant"), "the newest token of a family whose old token was used")


def run():
    """The whole story."""
    upstreams = child_upstream("child", "--grandchildren") + everything_upstream()
    bridge = Bridge(config(upstreams, oauth_server=f"refresh_token_grace: {GRACE}"))
    profile = tempfile.mkdtemp(prefix="mcp-bridge-profile-")
    callback = browser.Callback()
    with check("restart: first start, login and consent in a browser"):
        bridge.start()
        username, password = bridge.first_user()
        client = Client(bridge.url, "restart", callback.uri).discover().register()
        visit = browser.authorize(client.authorization_url(), username, password, profile=profile)
        report.equal(visit["pages"], ["login", "consent"], "pages seen by the person")
        client.redeem(callback.take())
    orderly(bridge, client, profile, username, password)
    with check("kill -9: no process is left, grandchildren included"):
        session = Session(client).initialize()
        session.tools()
        left = bridge.descendants()
        bridge.kill()
        expect_gone(left, 5, "after kill -9")
        report.true(not still_running(left), "expected nothing left")
    remembered(bridge, client, session.id, profile, username, password, "kill -9")
    crash_loop(bridge, username, password)
    shutil.rmtree(profile, ignore_errors=True)


if __name__ == "__main__":
    report.main(run)
