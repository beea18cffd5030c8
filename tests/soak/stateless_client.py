"""A client of MCP 2026-07-28: no session, every request says everything; input_required rounds and subscriptions/listen."""

import json
import time

import report
from caller import Caller
from ledger import Stopped

VERSION = "2026-07-28"
META = "io.modelcontextprotocol/"
ANSWER_WITHIN = 40.0


class StatelessClient(Caller):
    """Requests that stand alone."""

    era = "stateless"

    def __init__(self, soak, holder, rng):
        super().__init__(soak, holder, rng)
        self.watched = f"fake://item/{self.name}"
        self.updates, self.changes = 0, 0

    def more_headers(self, message):
        method, params = message["method"], message["params"]
        name = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(method)
        return {"MCP-Protocol-Version": VERSION, "Mcp-Method": method} | ({"Mcp-Name": params[name]} if name else {})

    def message(self, method, params, id=None):
        """A request with its envelope."""
        meta = {
            f"{META}protocolVersion": VERSION, f"{META}clientInfo": {"name": self.name, "version": "1"},
            f"{META}clientCapabilities": {"elicitation": {}, "roots": {}}, **(params.get("_meta") or {}),
        }
        return {"jsonrpc": "2.0", "id": id or self.next_id(), "method": method, "params": {**params, "_meta": meta}}

    def request(self, method, params, heard=None, line=None):
        """A request to its answer. Its stream cannot be taken up again: it must not end before."""
        message = self.message(method, params)
        return self.follow(self.post(message, line), message["id"], (params.get("_meta") or {}).get("progressToken"), heard)

    def follow(self, reply, id, token, heard):
        """Reads until the answer comes."""
        if reply.status not in (200, 400, 404):
            raise report.Failure(f"{self.name}: status {reply.status}: {reply.read()[:300]!r}")
        deadline = time.monotonic() + ANSWER_WITHIN
        for message in reply.messages():
            self.check_stop()
            if time.monotonic() > deadline:
                raise report.Failure(f"{self.name}: no answer and no progress for {ANSWER_WITHIN} s to id {id}")
            if message is None:
                continue
            if "method" not in message:
                report.equal(message.get("id"), id, f"{self.name}: id of the answer {json.dumps(message)[:300]}")
                reply.read()
                return message
            deadline = time.monotonic() + ANSWER_WITHIN
            self.heed(message, token, heard if heard is not None else [])
        raise report.Failure(f"{self.name}: the stream ended before the answer to id {id}")

    def rounds(self, tool, arguments, abandon=False):
        """A call that asks: the question must be the caller's own, and its answer brings the result. `None` when abandoned."""
        params = self.call_params(tool, arguments)
        answer = self.request("tools/call", params)
        for _ in range(4):
            result = answer.get("result") or {}
            if result.get("resultType") != "input_required":
                return answer
            if abandon:
                return None
            responses = {key: self._response(asked) for key, asked in result["inputRequests"].items()}
            answer = self.request("tools/call", {**params, "inputResponses": responses, "requestState": result["requestState"]})
        raise report.Failure(f"{self.name}: asked more than four times: {json.dumps(answer)[:500]}")

    def _response(self, asked):
        words = asked["params"].get("message", "")
        if asked["method"] != "elicitation/create" or not words.startswith(f"{self.name}:"):
            raise report.Failure(f"WRONG QUESTION for {self.name}: {json.dumps(asked)[:500]}")
        return {"action": "accept", "content": {"response": words}}

    # -- subscriptions/listen

    def listen(self):
        """Listens until the soak ends; begins anew when the token ends, or when it leaves by itself."""
        line = self.new_line()
        while not self.ledger.stop.is_set():
            wanted = {"toolsListChanged": True, "resourceSubscriptions": [self.watched]}
            message = self.message("subscriptions/listen", {"notifications": wanted})
            try:
                reply = self.post(message, line)
                report.equal(reply.status, 200, "status of subscriptions/listen")
                self._hear(reply, message["id"])
                self.ledger.count("listen stream ended and opened again")
            except Stopped:
                return
            finally:
                line.close()

    def _hear(self, reply, id):
        cut_after, first = self.rng.randint(3, 60), True
        for number, message in enumerate(reply.messages()):
            if self.ledger.stop.is_set():
                raise Stopped
            if message is not None:
                self._heard(message, id, first)
                first = False
            if number >= cut_after:
                reply.reset()
                return

    def _heard(self, message, id, first):
        if "method" not in message:
            return report.equal(message.get("id"), id, f"{self.name}: id of the end of a listen stream")
        method, params = message["method"], message["params"]
        report.equal(params["_meta"][f"{META}subscriptionId"], id, f"{self.name}: WRONG NOTIFICATION, subscription of {method}")
        report.equal(method == "notifications/subscriptions/acknowledged", first, f"{self.name}: acknowledgement first ({method})")
        if method == "notifications/resources/updated":
            report.equal(params["uri"], self.watched, f"WRONG NOTIFICATION for {self.name}: resource")
            self.updates += 1
        elif method == "notifications/tools/list_changed":
            self.changes += 1
        elif not first:
            raise report.Failure(f"on the listen stream of {self.name} came {json.dumps(message)[:500]}")
