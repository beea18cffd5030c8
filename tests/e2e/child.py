#!/usr/bin/env python3
"""A stdio MCP server for the tests: answers out of order, reports progress, and may leave processes of its own lying about.

usage: child.py [--grandchildren]

Tools: `echo` gives its arguments back as JSON, after `notifications/progress` with the caller's words when a progress token is given.
Answers are held back and shuffled, so that a bridge that matches them by order instead of by id is found out.
`--grandchildren` starts two more processes at start: one in this process group, one in a session of its own (as launchers and daemons do).
"""

import json
import random
import select
import subprocess
import sys

ECHO = {
    "name": "echo",
    "description": "Gives its arguments back",
    "inputSchema": {"type": "object", "properties": {"caller": {"type": "string"}, "number": {"type": "integer"}}},
    "annotations": {"readOnlyHint": True},
}


def answer(message):
    """The lines that answer one message: progress first."""
    method, params = message.get("method"), message.get("params") or {}
    if "id" not in message or method is None:
        return []
    if method == "initialize":
        capabilities = {"tools": {}}
        result = {"protocolVersion": params.get("protocolVersion"), "capabilities": capabilities, "serverInfo": {"name": "e2e-child", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [ECHO]}
    elif method == "tools/call" and params.get("name") == "echo":
        text = json.dumps(params.get("arguments"))
        result = {"content": [{"type": "text", "text": text}], "isError": False}
    elif method == "ping":
        result = {}
    else:
        return [{"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": f"no method {method}"}}]
    lines = [{"jsonrpc": "2.0", "id": message["id"], "result": result}]
    token = (params.get("_meta") or {}).get("progressToken")
    if token is not None:
        words = json.dumps(params.get("arguments"))
        progress = {"progressToken": token, "progress": 1, "total": 2, "message": words}
        lines.insert(0, {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress})
    return lines


def main():
    """Reads until standard input ends; answers in shuffled batches."""
    if "--grandchildren" in sys.argv:
        subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    held, buffer = [], b""
    stream = sys.stdin.buffer.raw
    while True:
        # More input at once: hold what there is and take it too. Silence, or enough: answer, in any order.
        readable, _, _ = select.select([stream], [], [], 0.001 if held else None)
        if readable:
            chunk = stream.read(65536)
            if not chunk:
                return
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            held += [answer(json.loads(line)) for line in lines if line.strip()]
        if held and (not readable or len(held) >= 16):
            random.shuffle(held)
            sys.stdout.write("".join(json.dumps(line) + "\n" for lines in held for line in lines))
            sys.stdout.flush()
            held = []


if __name__ == "__main__":
    main()
