"""HTTP to the bridge, where it matters how a connection is used and how it ends: kept, read slowly, reset, half closed, left alone."""

import http.client
import json
import socket
import struct

import report

PATIENCE = 30.0  # a connection on which nothing comes for so long is a failure: streams have keep-alives


class Line:
    """A connection that is kept from request to request, until it is cut or the bridge ends it."""

    def __init__(self, ledger, port):
        self.ledger, self.port = ledger, port
        self.connection = self.socket = None

    def send(self, kind, method, path, headers, body=None):
        """One request and the beginning of its answer."""
        if self.connection is None or self.connection.sock is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            self.connection.connect()
            self.socket = self.connection.sock
        self.connection.request(method, path, body=body, headers=headers)
        answer = self.connection.getresponse()
        self.ledger.status(kind, answer.status)
        return Reply(self, answer)

    def send_only(self, method, path, headers, body):
        """A request whose answer is not waited for."""
        self.close()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.connection.connect()
        self.socket = self.connection.sock
        self.connection.request(method, path, body=body, headers=headers)

    def reset(self):
        """Ends the connection with a RST."""
        if self.socket is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def half_close(self):
        """Says that nothing more will be sent, and still reads."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        """Ends the connection."""
        if self.connection is not None:
            self.connection.close()
        if self.socket is not None:
            self.socket.close()
        self.connection = self.socket = None


class Reply:
    """The answer to one request: its head, and its body as it comes."""

    def __init__(self, line, answer):
        self.line, self.answer = line, answer
        self.status, self.headers = answer.status, answer.headers
        self.last_event_id, self.retry = None, None

    def is_stream(self):
        """Whether it is an event stream."""
        return self.headers.get_content_type() == "text/event-stream"

    def read(self):
        """The whole body."""
        return self.answer.read()

    def messages(self):
        """The JSON-RPC messages as they come. `None` stands for a comment or an event without data: somebody is there."""
        if not self.is_stream():
            body = self.answer.read()
            yield json.loads(body) if body else None
            return
        data = []
        while True:
            line = self.answer.readline()
            if not line:
                if data:
                    raise report.Failure(f"a stream ended in the middle of an event: {data!r}"[:500])
                return
            line = line.rstrip(b"\r\n")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"id:"):
                self.last_event_id = line[3:].strip().decode()
            elif line.startswith(b"retry:"):
                self.retry = int(line[6:])
            elif line.startswith(b":"):
                yield None
            elif not line:
                text, data = b"\n".join(data), []
                yield json.loads(text) if text else None

    def reset(self):
        """Ends the connection with a RST, in the middle of the answer."""
        if self.line.socket is not None:
            self.line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        """Ends the connection."""
        self.answer.close()
        self.line.close()
