"""A web server with the metadata document of one client, for bridges that may fetch from loopback."""

import http.server
import json
import threading


class Document:
    """A web server with one metadata document of a client."""

    def __init__(self, redirect_uri):
        document = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                """The document, whatever was asked for."""
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(document.text)

            def log_message(self, *_):
                """Says nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{server.server_port}"
        self.url = f"http://{self.address}/client.json"
        self.text = json.dumps({
            "client_id": self.url, "client_name": "A document", "redirect_uris": [redirect_uri], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code"], "response_types": ["code"],
        }).encode()
        threading.Thread(target=server.serve_forever, daemon=True).start()
