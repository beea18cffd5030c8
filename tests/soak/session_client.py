"""A client of the session era: initialize, a GET stream that is taken up again, calls whose streams are taken up again, questions."""

import json
import time

import report
from caller import Caller
from ledger import Stopped

ANSWER_WITHIN = 40.0  # seconds for a call without progress: request_timeout of the bridge is 30 s here


class SessionClient(Caller):
    """One session at a time; `initialize` begins the next."""

    era = "session"

    def __init__(self, soak, holder, rng, version="2025-11-25"):
        super().__init__(soak, holder, rng)
        self.version, self.id, self.ended = version, None, None
        self.watched = f"fake://item/{self.name}"  # the resource that this client alone subscribes to
        self.updates, self.changes = 0, 0

    def more_headers(self, message):
        if isinstance(message, dict) and message.get("method") == "initialize":
            return {}
        return {"MCP-Protocol-Version": self.version, "Mcp-Session-Id": self.id}

    def initialize(self):
        """A new session; the one before is left to its fate."""
        params = {
            "protocolVersion": self.version, "capabilities": {"elicitation": {}, "roots": {}}, "clientInfo": {"name": self.name, "version": "1"},
        }
        reply = self.post({"jsonrpc": "2.0", "id": self.next_id(), "method": "initialize", "params": params})
        report.equal(reply.status, 200, f"{self.name}: status of initialize")
        answer = next(message for message in reply.messages() if message)
        self.drain(reply)
        report.equal(answer.get("result", {}).get("protocolVersion"), self.version, f"{self.name}: version in {json.dumps(answer)[:300]}")
        self.id = reply.headers["Mcp-Session-Id"]
        self.notify("notifications/initialized")
        return self

    def drain(self, reply):
        """Reads to the end, so that the connection can be used again."""
        reply.read()

    def notify(self, method, params=None):
        """A notification: 202."""
        reply = self.post({"jsonrpc": "2.0", "method": method} | ({"params": params} if params else {}))
        body = reply.read()
        report.equal(reply.status, 202, f"{self.name}: status of {method} ({body[:300]!r})")

    def end(self):
        """DELETE: 204, and 404 from then on."""
        self.ended = self.id  # its stream ends now, and finds nothing to come back to
        reply = self.line.send("session DELETE", "DELETE", "/mcp", self.get_headers(""))
        reply.read()
        report.equal(reply.status, 204, f"{self.name}: status of DELETE")
        reply = self.post({"jsonrpc": "2.0", "id": self.next_id(), "method": "ping"})
        reply.read()
        report.equal(reply.status, 404, f"{self.name}: status of a request of a session that was ended")

    def request(self, method, params, heard=None, line=None):
        """A request to its answer, taken up again where the stream ends before (because the token did)."""
        id = self.next_id()
        reply = self.post({"jsonrpc": "2.0", "id": id, "method": method, "params": params}, line)
        return self.follow(reply, id, (params.get("_meta") or {}).get("progressToken"), heard, line)

    def follow(self, reply, id, token, heard, line=None, cut=None):
        """Reads until the answer comes. `cut(reply, number of messages)` may end the connection and say true: it is resumed then."""
        last, deadline, seen = None, time.monotonic() + ANSWER_WITHIN, 0
        while True:
            report.equal(reply.status, 200, f"{self.name}: status of a call ({reply.read()[:300]!r})" if reply.status != 200 else "status")
            for message in reply.messages():
                self.check_stop()
                if time.monotonic() > deadline:
                    raise report.Failure(f"{self.name}: no answer and no progress for {ANSWER_WITHIN} s to id {id} (last event {last}, heard {(heard or [])[-3:]})")
                last = reply.last_event_id or last
                if message is None:
                    continue
                if "method" not in message:
                    report.equal(message.get("id"), id, f"{self.name}: id of the answer")
                    self.drain(reply)
                    return message
                deadline = time.monotonic() + ANSWER_WITHIN
                self.take(message, token, heard)
                seen += 1
                if cut and cut(reply, seen):
                    break
            if last is None:
                raise report.Failure(f"{self.name}: a stream ended before the answer to id {id}, and had no event to resume from")
            self.ledger.count("stream resumed")
            reply = self.resume(last, line)

    def resume(self, last, line=None):
        """GET with Last-Event-ID."""
        return (line or self.line).send("session GET resumed", "GET", "/mcp", self.get_headers(last))

    def get_headers(self, last):
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.holder.bearer()}", **self.more_headers({})}
        return headers | ({"Last-Event-ID": last} if last else {})

    def take(self, message, token, heard):
        """What comes before an answer: a question, or progress."""
        if "id" in message:
            self.answer(message)
        else:
            self.heed(message, token, heard if heard is not None else [])

    def answer(self, question):
        """Answers an elicitation; a question about somebody else is the worst that can happen."""
        words = question["params"].get("message", "")
        if question["method"] != "elicitation/create" or not words.startswith(f"{self.name}:"):
            raise report.Failure(f"WRONG QUESTION for {self.name}: {json.dumps(question)[:500]}")
        result = {"action": "accept", "content": {"response": words}}
        line = self.new_line()
        reply = self.post({"jsonrpc": "2.0", "id": question["id"], "result": result}, line)
        body = reply.read()
        line.close()
        report.equal(reply.status, 202, f"{self.name}: status of the answer to a question ({body[:300]!r})")

    # -- the stream of the session

    def listen(self):
        """Keeps a GET stream open until the soak or the session ends; checks that what comes is meant for this client."""
        line, last, session = self.new_line(), None, self.id
        while not self.ledger.stop.is_set() and self.id == session:
            try:
                reply = line.send("session GET", "GET", "/mcp", self.get_headers(last))
                if reply.status == 404 and session in (self.ended, None) or self.id != session:
                    break
                report.equal(reply.status, 200, f"status of GET with Last-Event-ID {last}")
                last = self._hear(reply, session) or last
                self.ledger.count("GET stream ended and opened again")
            except Stopped:
                break
            finally:
                line.close()

    def _hear(self, reply, session):
        cut_after = self.rng.randint(3, 60)
        for number, message in enumerate(reply.messages()):
            if self.id != session or self.ledger.stop.is_set():
                raise Stopped
            if message is not None:
                self._heard(message)
            if number >= cut_after:
                reply.reset()
                break
        return reply.last_event_id

    def _heard(self, message):
        method, params = message.get("method"), message.get("params") or {}
        if method == "notifications/resources/updated":
            report.equal(params["uri"], self.watched, f"WRONG NOTIFICATION for {self.name}: resource")
            self.updates += 1
        elif method in ("notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed"):
            self.changes += 1
        elif "id" in message and method:
            self.answer(message)
        elif method not in ("notifications/message", "notifications/cancelled"):
            raise report.Failure(f"on the GET stream of {self.name} came {json.dumps(message)[:500]}")
