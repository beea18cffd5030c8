"""Two people's clients with the same JSON-RPC ids and progress tokens, in parallel on one shared stdio child: no answer crosses over.

CALLS: how many calls each client makes (default 4,000).
"""

import json
import os
import sys

import report
from bridge import Bridge, child_upstream, command_line, config
from oauth import Client, FormBrowser, Session, Threads
from report import check

CALLS = int(os.environ.get("CALLS", "4000"))
CONNECTIONS = 8
PEOPLE = {"alice": "alice's long password", "bob": "bob's long password"}


def echo(session, name, number, token=None):
    """One call that must come back with the caller's name and number, and with nobody else's progress."""
    arguments = {"caller": name, "number": number}
    text = session.call(number, "echo", arguments, {"progressToken": token} if token is not None else None)
    report.equal(json.loads(text), arguments, f"{name}'s answer to id {number}")


def calls(session, name, numbers, stop):
    """Many calls on one connection, every tenth with a progress token that the other client uses too."""
    for number in numbers:
        if stop.is_set():
            return
        echo(session, name, number, number if number % 10 == 0 else None)
    for message in session.notifications:
        report.equal(message["method"], "notifications/progress", f"kind of {name}'s notification")
        words, token = json.loads(message["params"]["message"]), message["params"]["progressToken"]
        report.equal((words["caller"], words["number"]), (name, token), f"{name}'s progress for token {token}")


def run():
    """The whole story."""
    bridge = Bridge(config(child_upstream("shared")))
    with check("crossing: two users, the bridge starts, both log in"):
        for name, password in PEOPLE.items():
            bridge.add_user(name, password)
        bridge.start()
        clients = {name: Client(bridge.url, name).login(FormBrowser(), name, password) for name, password in PEOPLE.items()}
        sessions = {name: Session(client).initialize() for name, client in clients.items()}
        report.true(sessions["alice"].id != sessions["bob"].id, "expected two sessions")
    with check("crossing: one child serves both"):
        for name, session in sessions.items():
            report.until(lambda: "echo" in session.tools(), 10, f"the child's tools for {name}")
        lines = [command_line(pid) for pid in bridge.descendants()]
        children = [line for line in lines if line.startswith(sys.executable) and "child.py" in line]
        report.equal(len(children), 1, f"children (of {lines})")
    with check(f"crossing: {CALLS} calls each, {CONNECTIONS} connections each, the same ids: every answer comes to who asked"):
        threads, siblings = Threads(), {name: [] for name in PEOPLE}
        for name, session in sessions.items():
            for connection in range(CONNECTIONS):
                siblings[name].append(session.sibling())
                threads.start(calls, siblings[name][-1], name, range(1 + connection, CALLS + 1, CONNECTIONS), threads.stop)
        threads.join(300)
        for name, connections in siblings.items():
            heard = sum(len(connection.notifications) for connection in connections)
            report.equal(heard, CALLS // 10, f"{name}'s progress notifications")
    with check("crossing: the same id twice at once in one session, and ids of every type, are answered with what was sent"):
        threads = Threads()
        for number in range(8):
            threads.start(echo, sessions["alice"].sibling(), "alice", 7 if number % 2 else number)
        threads.join(60)
        for id in (0, -1, 2**53 - 1, "7", "", "grüße", "x" * 200):
            answer = sessions["bob"].request(id, "ping")
            report.equal(answer.get("result"), {}, f"answer to a ping with id {id!r}")
    with check("crossing: one's session is not another's (404, nothing told)"):
        stranger = Session(clients["bob"], sessions["alice"].id)
        status, _, messages = stranger.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        report.equal(status, 404, f"status of bob's request with alice's session ({messages})")
        echo(sessions["alice"], "alice", 1)


if __name__ == "__main__":
    report.main(run)
