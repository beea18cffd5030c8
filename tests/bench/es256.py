"""A key and a token as an authorization server would make them, for mcp-proxy: it accepts only tokens that name its own address, which no
token of the bridge does."""

import base64
import http.server
import json
import subprocess
import threading
import time


def _encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """An ES256 key (RFC 7518 §3.4), made by openssl, and its key set on a port."""

    def __init__(self, directory):
        self.key = directory / "issuer.pem"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key], check=True, capture_output=True)
        public = subprocess.run(["openssl", "ec", "-in", self.key, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
        # The DER of a P-256 key ends in its two coordinates.
        key = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": _encoded(public[-64:-32]), "y": _encoded(public[-32:])}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(json.dumps({"keys": [key]}).encode()))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, audience):
        """A token like the bridge's (RFC 9068) for an audience, good for a day."""
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": "bench", "aud": audience, "client_id": "bench", "scope": "mcp:read mcp:write", "jti": "1",
            "iat": now, "exp": now + 86400,
        }
        header = {"typ": "at+jwt", "alg": "ES256", "kid": "1"}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=text.encode(), check=True, capture_output=True).stdout
        return f"{text}.{_encoded(_raw(signed))}"

    def close(self):
        """Ends the server."""
        self.server.shutdown()
        self.server.server_close()


def _raw(der):
    """The two numbers of a signature, 32 bytes each, from the DER that openssl gives."""
    length = der[3]
    first, second = der[4 : 4 + length], der[6 + length :]
    return b"".join(number[-32:].rjust(32, b"\0") for number in (first, second))


def _handler(body):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802: the library's name
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler
