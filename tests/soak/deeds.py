"""What clients of both eras do, one deed at a time: each is counted, and each says what may come of it."""

import json
import threading
import time

import report
from caller import CleanFailure, expect_echo, expect_progress, result_of
from session_client import SessionClient
from wire import PATIENCE

ECHOES = ("steady", "steady", "shaky", "web")


def short(client):
    """A short call whose answer names the caller."""
    upstream, arguments = client.rng.choice(ECHOES), client.mark()
    expect_echo(client.call(f"{upstream}__echo", arguments), upstream, arguments)


def several(client):
    """Six calls at once from one client, on connections of their own; the slowest first."""
    errors, rngs = [], [client.rng.randint(0, 200) for _ in range(6)]

    def one(milliseconds):
        line = client.new_line()
        try:
            if milliseconds % 2:
                result_of(client.call("steady__slow", {"milliseconds": milliseconds}, line=line), "steady")
            arguments = client.mark()
            expect_echo(client.call("steady__echo", arguments, line=line), "steady", arguments)
        except Exception as error:  # noqa: BLE001: raised by the caller below
            errors.append(error)
        finally:
            line.close()

    threads = [threading.Thread(target=one, args=(milliseconds,)) for milliseconds in rngs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def whoami(client):
    """The bridge itself says who is calling."""
    who = result_of(client.call("me__whoami", {}), "me")["structuredContent"]
    expected = (client.holder.account.name, client.holder.client.client_id)
    report.equal((who["user"], who["client"]), expected, "WRONG ANSWER of whoami")


def lists(client):
    """What there is: merged lists, a page of which no failing upstream may hide the rest."""
    tools = [tool["name"] for tool in result_of(client.request("tools/list", {}), "all")["tools"]]
    report.true(len(tools) == len(set(tools)), f"a tool is listed twice: {tools}")
    missing = {"steady__echo", "me__whoami", "official__test_elicitation"} - set(tools)
    report.true(not missing, f"missing in the list of tools: {missing}")
    result_of(client.request("prompts/list", {}), "all")
    result_of(client.request("resources/list", {}), "all")
    text = result_of(client.request("resources/read", {"uri": client.watched}), "steady")["contents"][0]["text"]
    report.contains(text, client.watched, "WRONG ANSWER of resources/read")


def large(client):
    """An answer of one MiB."""
    if client.rng.random() < 0.5:
        arguments = client.mark(padding="p" * 500_000)  # comes back as text and as structure
        return expect_echo(client.call("steady__echo", arguments), "steady", arguments)
    answer = client.call("web__large", {"caller": client.name, "bytes": 1 << 20})
    came = json.loads(result_of(answer, "web")["content"][0]["text"])
    report.equal((came["caller"], len(came["text"])), (client.name, 1 << 20), "WRONG ANSWER of large")


def slow_reader(client):
    """An answer of one MiB, read a little at a time for some seconds."""
    arguments = client.mark(padding="p" * 500_000)
    line = client.new_line()
    message = request_of(client, "steady__echo", arguments)
    reply = client.post(message, line)
    report.equal(reply.status, 200, "status of a call that is read slowly")
    pieces = []
    while piece := reply.answer.read(64 * 1024):
        pieces.append(piece)
        client.ledger.stop.wait(0.2)
        client.check_stop()
    line.close()
    body = b"".join(pieces)
    if reply.is_stream():
        body = b"".join(part[6:] for part in body.split(b"\n") if part.startswith(b"data: {"))
    expect_echo(json.loads(body), "steady", arguments)


def request_of(client, tool, arguments, token=None, id=None):
    """A call as a message, for those who do not follow it in the usual way."""
    params, id = client.call_params(tool, arguments, token), id or client.next_id()
    if isinstance(client, SessionClient):
        return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}
    return client.message("tools/call", params, id)


def stream(client, steps=20, milliseconds=50, upstream=None):
    """A stream with progress, complete and in order."""
    upstream, heard = upstream or client.rng.choice(ECHOES), []
    answer = client.call(f"{upstream}__progress", {"steps": steps, "milliseconds": milliseconds}, heard)
    result_of(answer, upstream)
    expect_progress(heard, steps, f"{upstream}__progress")


def patient(client):
    """A stateless stream of many seconds: it cannot be taken up again, so its token must be good for long enough."""
    client.holder.bearer(spare=25)
    stream(client, steps=15, milliseconds=1000, upstream="steady")


def long_stream(client, seconds):
    """A stream that outlives its token; a session client takes it up again with the next one, and misses nothing."""
    heard, token, line = [], f"long-{client.name}-{client.next_id()}", client.new_line()
    message = request_of(client, "steady__progress", {"steps": seconds, "milliseconds": 1000}, token)
    pace = client.rng.randint(20, 70)
    answer = client.follow(client.post(message, line), message["id"], token, heard, line, cut=cut_every(pace))
    result_of(answer, "steady")
    expect_progress(heard, seconds, "long stream")
    line.close()


def cut_every(pace):
    """Resets the connection after every so many messages."""
    def cut(reply, seen):
        if seen % pace:
            return False
        reply.reset()
        return True
    return cut


def broken_and_resumed(client):
    """A stream whose connection is reset in the middle, taken up again with Last-Event-ID: nothing is missing, nothing comes twice."""
    heard, token, line = [], f"cut-{client.name}-{client.next_id()}", client.new_line()
    message = request_of(client, "steady__progress", {"steps": 30, "milliseconds": 60}, token)
    answer = client.follow(client.post(message, line), message["id"], token, heard, line, cut=cut_every(client.rng.randint(4, 12)))
    result_of(answer, "steady")
    expect_progress(heard, 30, "stream that was resumed")
    line.close()


def official(client):
    """The server of the official suite: plain, with progress, and one that ends its stream on purpose."""
    tool, words = client.rng.choice([
        ("test_simple_text", "This is a simple text"), ("test_tool_with_progress", "done"), ("test_reconnection", "answered after"), ("test_tool_with_logging", "logged three"),
    ])
    if tool == "test_tool_with_logging" and isinstance(client, SessionClient):
        return  # its messages go where they cannot be told from others'
    text = result_of(client.call(f"official__{tool}", {}, []), "official")["content"][0]["text"]
    report.contains(text, words, f"text of {tool}")


def question(client):
    """A call that asks the caller something which names them."""
    words = f"{client.name}: {client.rng.getrandbits(32)}?"
    if isinstance(client, SessionClient):
        answer = client.call("official__test_elicitation", {"message": words})
    else:
        answer = client.rounds("official__test_elicitation", {"message": words}, abandon=client.rng.random() < 0.1)
        if answer is None:
            return client.soak.abandoned.append(time.monotonic())
    report.contains(result_of(answer, "official")["content"][0]["text"], json.dumps(words)[1:-1], "WRONG ANSWER to a question")


def ambiguous_question(client):
    """The same from the shared child: asked if it is clear whose call it is, refused to the child if not; never put to somebody else."""
    arguments = {"method": "elicitation/create", "params": {"message": f"{client.name}: who?", "requestedSchema": {"type": "object", "properties": {}}}}
    if isinstance(client, SessionClient):
        result_of(client.call("steady__ask", arguments), "steady")
    else:
        result_of(client.rounds("steady__ask", arguments), "steady")


def update(client):
    """A change of the resource that this client watches; that it is told to nobody else is checked where it is heard."""
    result_of(client.call("steady__touch", {"uri": client.watched}), "steady")


def vanish(client):
    """Leaves in the middle of a call: by RST, by half close, or by silence."""
    how, line, message = client.rng.choice(("reset", "half close", "silence")), client.new_line(), request_of(client, "steady__progress", {"steps": 40, "milliseconds": 50}, f"gone-{client.next_id()}")
    client.post_only(message, line)
    client.ledger.stop.wait(client.rng.uniform(0, 1.5))
    if how == "reset":
        line.reset()
    elif how == "half close":
        line.half_close()
        drained(line)
    else:
        client.ledger.stop.wait(client.rng.uniform(1, 4))
    line.close()
    client.ledger.count(f"vanished by {how}")


def drained(line):
    """Reads to the end of a connection that we half closed: the bridge must end it, answered or not."""
    line.socket.settimeout(PATIENCE)
    try:
        while line.socket.recv(65536):
            pass
    except ConnectionError:
        pass


def cancel(client):
    """A call of an hour, cancelled: by notification in the session era, by leaving in the stateless one. If it went on in the child, the end would show it."""
    line, message = client.new_line(), request_of(client, "steady__slow", {"milliseconds": 3_600_000})
    client.post_only(message, line)
    client.ledger.stop.wait(client.rng.uniform(0.05, 1.5))
    if isinstance(client, SessionClient):
        cancelled = {"requestId": message["id"], "reason": "soak"}
        client.notify("notifications/cancelled", cancelled)
        # Two connections have no order: only from the head of the answer on is it certain that the bridge has the call.
        answer = line.connection.getresponse()
        started = time.monotonic()
        client.notify("notifications/cancelled", cancelled)
        answer.read()
        report.true(time.monotonic() - started < 10, "a cancelled call's stream was not ended within 10 s")
        if answer.status >= 500:
            raise report.Failure(f"a cancelled call was answered with {answer.status}")
    line.close()


def refused(client):
    """A call that must be refused, and is."""
    answer = client.call("steady__no_such_tool", {})
    report.true("error" in answer or answer["result"].get("isError"), f"expected an error for an unknown tool, came {answer}")


def crash(client):
    """Ends the child behind `shaky` in the middle of its calls."""
    answer = client.call("shaky__crash", {"code": client.rng.randint(0, 3)})
    report.true("error" in answer, f"expected an error from a server that crashed, came {answer}")
    raise CleanFailure(answer["error"]["message"])
