"""Those who do not behave, and those who come and go: malformed requests, half requests, logins, revocations, users that are locked out."""

import http.client
import json
import socket
import subprocess
import time

import report
from bridge import BINARY
from deeds import whoami
from people import Account, Holder
from session_client import SessionClient
from stateless_client import StatelessClient

HEAD = b"POST /mcp HTTP/1.1\r\nHost: @HOST@\r\nAuthorization: Bearer @TOKEN@\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"


def framed(body, more=b""):
    return HEAD + more + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


# What is sent, and the statuses that may come; `None`: the connection ends without an answer.
MALFORMED = {
    "no JSON": (framed(b"{nonsense"), {400}),
    "empty body": (framed(b""), {400}),
    "two ids": (framed(b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}'), {400}),
    "deep nesting": (framed(b"[" * 100_000), {400}),
    "unknown session": (framed(b'{"jsonrpc":"2.0","id":1,"method":"ping"}', b"Mcp-Session-Id: nobodys\r\n"), {404}),
    "unknown version": (framed(b'{"jsonrpc":"2.0","id":1,"method":"ping"}', b"MCP-Protocol-Version: 1999-01-01\r\n"), {400}),
    "bad token": (framed(b"{}").replace(b"Bearer @TOKEN@", b"Bearer nonsense"), {401}),
    "no token": (framed(b"{}").replace(b"Authorization: Bearer @TOKEN@\r\n", b""), {401}),
    "other host": (framed(b"{}").replace(b"Host: @HOST@", b"Host: evil.example"), {400, 403, 421}),
    "other origin": (framed(b"{}", b"Origin: https://evil.example\r\n"), {403}),
    "wrong type": (framed(b"{}").replace(b"application/json\r\nAccept", b"text/plain\r\nAccept"), {415}),
    "wrong method": (b"PUT /mcp HTTP/1.1\r\nHost: @HOST@\r\nAuthorization: Bearer @TOKEN@\r\nContent-Length: 0\r\n\r\n", {405}),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", {400}),
    "length and chunks": (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 200 + b"\r\n\r\n", {400, None}),
    "huge header": (HEAD + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n", {400, 431, None}),
    "too large": (HEAD + b"Content-Length: 99999999\r\n\r\n{", {413}),
    "half a body": (HEAD + b"Content-Length: 500\r\n\r\n{", {400, 408, None}),
    "half a head": (HEAD[:80], {400, 408, None}),
    "unknown stream": (b"GET /mcp HTTP/1.1\r\nHost: @HOST@\r\nAuthorization: Bearer @TOKEN@\r\nAccept: text/event-stream\r\nLast-Event-ID: p1-1\r\n\r\n", {400, 404}),
    "no such page": (b"GET /../../etc/passwd HTTP/1.1\r\nHost: @HOST@\r\n\r\n", {400, 404}),
    "form without client": (b"POST /oauth/token HTTP/1.1\r\nHost: @HOST@\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\ngrant=ab", {400, 401}),
    "bad registration": (b"POST /oauth/register HTTP/1.1\r\nHost: @HOST@\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", {400}),
}


def malformed_life(soak, holder, rng, pause):
    """One malformed request after the other, each with its refusal."""
    names = list(MALFORMED)
    while not soak.ledger.stop.is_set():
        name = rng.choice(names)
        with soak.ledger.doing("malformed request", name):
            malformed(soak, holder, name)
        soak.rest(rng.expovariate(1 / pause))


def malformed(soak, holder, name):
    """Sends it and demands one of the answers that it may have."""
    data, allowed = MALFORMED[name]
    data = data.replace(b"@HOST@", f"127.0.0.1:{soak.bridge.port}".encode()).replace(b"@TOKEN@", holder.bearer().encode())
    with socket.create_connection(("127.0.0.1", soak.bridge.port), timeout=20) as connection:
        status = None
        try:
            connection.sendall(data)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            status = answer.status
            answer.close()
        except (ConnectionError, http.client.BadStatusLine):
            pass
    soak.ledger.status("malformed request", status)
    report.true(status in allowed, f"expected {allowed}, came {status}")


# -- those who come and go


def newcomer_life(soak, account, rng, pause):
    """Registers, logs in, works a little in either era, and is revoked in one of three ways; again and again."""
    number = 0
    while not soak.ledger.stop.is_set():
        number += 1
        with soak.ledger.doing("newcomer", account.name):
            newcomer(soak, account, rng, f"{account.name}-{number}")
        soak.rest(rng.expovariate(1 / pause))


def newcomer(soak, account, rng, name):
    """One visit."""
    if rng.random() < 0.5:
        account.browser = Account(account.name).browser  # another browser: the password is asked for again
    holder = Holder(soak, account, name).login()
    make = rng.choice((SessionClient, StatelessClient))
    client = make(soak, holder, rng)
    if make is SessionClient:
        client.initialize()
    whoami(client)
    stream = open_stream(client)
    way = rng.choice(("access token", "refresh token", "user"))
    if way == "user":
        manage(soak, "disable", account.name)
    else:
        holder.revoke(*((holder.client.access_token, "access_token") if way == "access token" else (holder.client.refresh_token, "refresh_token")))
    expect_refused(soak, client, way)
    expect_ended(soak, stream)
    if way == "user":
        manage(soak, "enable", account.name)
    if way == "access token":
        # A client with a grant is never evicted: visitors who left theirs behind would fill the table in half an hour.
        holder.revoke(holder.client.refresh_token, "refresh_token")
    client.line.close()
    soak.ledger.count(f"revoked by {way}")


def open_stream(client):
    """The stream that a client keeps open beside its calls."""
    line = client.new_line()
    if isinstance(client, SessionClient):
        reply = line.send("session GET", "GET", "/mcp", client.get_headers(None))
    else:
        reply = client.post(client.message("subscriptions/listen", {"notifications": {"toolsListChanged": True}}), line)
    report.equal(reply.status, 200, "status of a newcomer's stream")
    return reply


def expect_ended(soak, reply):
    """REV-9: within five seconds the stream of a revoked token is ended, which a keep-alive would show not to be so."""
    revoked = time.monotonic()
    for _ in reply.messages():
        report.true(time.monotonic() - revoked < 5, "the stream of a revoked token is still open after 5 s")
    reply.close()
    soak.ledger.count("stream of a revoked token ended")


def expect_refused(soak, client, way):
    """From one second after the revocation on, the token is refused, and so is the refresh."""
    revoked = time.monotonic()
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    if isinstance(client, StatelessClient):
        message = client.message("tools/list", {})
    headers = client.headers(message)
    while True:
        asked = time.monotonic() - revoked
        reply = client.line.send("revoked token", "POST", "/mcp", headers, json.dumps(message))
        reply.read()
        if reply.status == 401:
            break
        report.true(asked < 1, f"a token revoked by {way} was accepted {asked:.2f} s later (status {reply.status})")
        time.sleep(0.02)
    with soak.ledger.lock:
        soak.ledger.slowest["revocation seen"] = max(soak.ledger.slowest["revocation seen"], time.monotonic() - revoked)
    status, answer = client.holder.client.try_refresh(client.holder.client.refresh_token)
    # Who revokes an access token alone keeps the login (RFC 7009 §2.1 leaves it open; REV-2).
    expected = (200, None) if way == "access token" else (400, "invalid_grant")
    report.equal((status, answer.get("error")), expected, f"refresh after a revocation by {way}")


def manage(soak, command, user):
    """`mcp-bridge user …` beside the running bridge, with the configuration of the start: a reload may be trying a wrong one."""
    done = subprocess.run([str(BINARY), "user", command, user, "-c", str(soak.bridge.directory / "commands.yaml")], cwd=soak.bridge.directory, env=soak.bridge.environment, capture_output=True, text=True, timeout=30)
    report.equal(done.returncode, 0, f"exit code of user {command} ({done.stdout}{done.stderr})")


def intruder(soak, client, other):
    """Another's session is not there, whoever asks."""
    headers = {**client.headers({}), "Mcp-Session-Id": other.id}
    reply = client.line.send("another's session", "POST", "/mcp", headers, json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
    body = reply.read()
    report.equal(reply.status, 404, f"status with another's session ({body[:300]!r})")


def intruder_life(soak, clients, rng, pause):
    """Tries other people's sessions."""
    while not soak.ledger.stop.is_set():
        first, second = rng.sample(clients, 2)
        if second.id and first.holder.client.client_id != second.holder.client.client_id:
            with soak.ledger.doing("another's session", first.name):
                probe = SessionClient(soak, first.holder, rng)
                probe.id = second.id
                intruder(soak, probe, second)
                probe.line.close()
        soak.rest(rng.expovariate(1 / pause))
