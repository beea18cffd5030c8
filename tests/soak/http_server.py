#!/usr/bin/env python3
"""A Streamable HTTP server of the session era that has bad days: it forgets sessions, drops connections and answers 503, at random by seed.

usage: http_server.py SEED   prints its URL. Tools: echo (JSON or a stream), large (`bytes` of text), progress (`steps`, `milliseconds`).
"""

import json
import os
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SCHEMA = {"type": "object"}
TOOLS = [{"name": name, "inputSchema": SCHEMA, "annotations": {"readOnlyHint": True}} for name in ("echo", "large", "progress")]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, seed):
        super().__init__(("127.0.0.1", 0), Handler)
        self.rng, self.sessions, self.lock = random.Random(seed), set(), threading.Lock()

    def happens(self, chance):
        with self.lock:
            return self.rng.random() < chance


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 300

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.plain(405)

    def do_DELETE(self):
        self.server.sessions.discard(self.headers.get("Mcp-Session-Id"))
        self.plain(204)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = message.get("method")
        if method == "initialize":
            return self.initialize(message)
        if self.headers.get("Mcp-Session-Id") not in self.server.sessions:
            return self.plain(404)
        if "id" not in message or method is None:
            return self.plain(202)
        if method == "tools/list":
            return self.json(message, {"tools": TOOLS})
        if method != "tools/call":
            return self.json(message, {} if method == "ping" else None)
        self.call(message)

    def initialize(self, message):
        session = f"{random.getrandbits(128):032x}"
        self.server.sessions.add(session)
        result = {
            "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "web", "version": "1"},
        }
        self.json(message, result, session)

    def call(self, message):
        if self.server.happens(0.002):
            self.server.sessions.clear()
            return self.plain(404)
        if self.server.happens(0.01):
            return self.plain(503)
        name, arguments = message["params"]["name"], message["params"].get("arguments") or {}
        if name == "large":
            return self.json(message, text({"caller": arguments.get("caller"), "text": "x" * arguments.get("bytes", 1 << 20)}))
        if name == "echo" and self.server.happens(0.5):
            return self.json(message, text({**arguments, "_server": "web", "_pid": os.getpid()}))
        self.stream(message, name, arguments)

    def stream(self, message, name, arguments):
        """The answer as a stream, sometimes with an end before its time."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        token = (message["params"].get("_meta") or {}).get("progressToken")
        steps = arguments.get("steps", 0) if name == "progress" else 0
        dropped = self.server.happens(0.02)
        for step in range(1, steps + 1):
            if token is not None:
                self.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": step, "total": steps}})
            time.sleep(arguments.get("milliseconds", 0) / 1000)
        if dropped:
            self.close_connection = True
            return
        answer = text({"steps": steps} if name == "progress" else {**arguments, "_server": "web", "_pid": os.getpid()})
        self.event({"jsonrpc": "2.0", "id": message["id"], "result": answer})
        self.wfile.write(b"0\r\n\r\n")

    def event(self, message):
        data = b"data: " + json.dumps(message).encode() + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def json(self, message, result, session=None):
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        answer |= {"result": result} if result is not None else {"error": {"code": -32601, "message": "Method not found"}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if session:
            self.send_header("Mcp-Session-Id", session)
        self.end_headers()
        self.wfile.write(body)

    def plain(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def text(value):
    return {"content": [{"type": "text", "text": json.dumps(value)}]}


if __name__ == "__main__":
    server = Server(int(sys.argv[1]))
    print(f"http://127.0.0.1:{server.server_address[1]}/mcp", flush=True)
    server.serve_forever()
