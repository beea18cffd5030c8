"""What clients of both eras share: ids, the headers of a POST, following an answer to its end, and what counts as one."""

import json
import threading

import report
from ledger import CleanFailure, Stopped
from wire import Line

# Upstreams that are made to fail; only their calls may be answered with an error.
FRAGILE = ("shaky", "web")
ELICITED = "Name of the caller?"


class Caller:
    """One client program. Its ids count from 1, as those of every other client do: that is what could be mixed up."""

    era = "?"

    def __init__(self, soak, holder, rng):
        self.soak, self.ledger, self.holder, self.rng = soak, soak.ledger, holder, rng
        self.name = holder.name
        self.line = self.new_line()
        self.lock, self.last_id, self.tokens = threading.Lock(), 0, 0

    def new_line(self):
        """A further connection."""
        return Line(self.ledger, self.soak.bridge.port)

    def next_id(self):
        """The next id of a request."""
        with self.lock:
            self.last_id += 1
            return self.last_id

    def mark(self, **more):
        """Arguments that name the caller, and are never the same twice."""
        with self.lock:
            self.tokens += 1
            number = self.tokens
        return {"caller": self.name, "number": number, "nonce": f"{self.rng.getrandbits(64):016x}", **more}

    def headers(self, message):
        """The header of a POST."""
        return {
            "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
            "Authorization": f"Bearer {self.holder.bearer()}", **self.more_headers(message),
        }

    def post(self, message, line=None):
        """Posts one message, or a batch."""
        kind = f"{self.era} {message.get('method', 'answer') if isinstance(message, dict) else 'batch'}"
        return (line or self.line).send(kind, "POST", "/mcp", self.headers(message), json.dumps(message))

    def post_only(self, message, line):
        """Posts one message and does not wait for anything."""
        line.send_only("POST", "/mcp", self.headers(message), json.dumps(message))

    def call(self, tool, arguments, heard=None, line=None):
        """A tool call to its end: the whole answer. `heard` collects what came before it."""
        token = f"{self.name}-{self.next_id()}" if heard is not None else None
        return self.request("tools/call", self.call_params(tool, arguments, token), heard, line)

    def call_params(self, tool, arguments, token=None):
        """The params of a tool call."""
        return {"name": tool, "arguments": arguments} | ({"_meta": {"progressToken": token}} if token else {})

    def heed(self, message, token, heard):
        """What came on the stream of a call before its answer: progress of this very call."""
        if message.get("method") != "notifications/progress":
            raise report.Failure(f"{self.name}: on the stream of a call came {json.dumps(message)[:500]}")
        report.equal(message["params"]["progressToken"], token, f"{self.name}: progress token on the stream of its call")
        heard.append(message["params"]["progress"])

    def check_stop(self):
        """Leaves what goes on for long when the soak is over."""
        if self.ledger.stop.is_set():
            raise Stopped


def result_of(answer, upstream):
    """The result of an answer; an error is a clean failure where the upstream is made to fail, and a violation elsewhere."""
    if "result" in answer and not answer["result"].get("isError"):
        return answer["result"]
    text = json.dumps(answer.get("error") or answer.get("result"), ensure_ascii=False)
    if upstream in FRAGILE:
        raise CleanFailure(text)
    raise report.Failure(f"{upstream}: expected a result, came {text[:600]}")


def expect_echo(answer, upstream, arguments):
    """The answer of `echo`: what the caller sent, from the server that was called."""
    result = result_of(answer, upstream)
    came = json.loads(result["content"][0]["text"])
    server, pid = came.pop("_server", None), came.pop("_pid", None)
    if came != arguments or server != upstream:
        raise report.Failure(
            f"WRONG ANSWER from {server} (process {pid}): expected {json.dumps(arguments)[:300]} from {upstream}, came {json.dumps(came)[:300]}"
        )


def expect_progress(heard, steps, what):
    """Progress 1 to `steps`, each once, in order."""
    if heard != list(range(1, steps + 1)):
        raise report.Failure(f"{what}: expected progress 1 to {steps}, each once; came {heard}")
