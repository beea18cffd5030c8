"""A small OAuth and MCP client on the standard library, for the scripts that need thousands of calls or must see every byte.

It follows the specifications from the URL on (401 → RFC 9728 → RFC 8414 → RFC 7591 → RFC 7636), and plays the browser with forms and cookies.
"""

import base64
import hashlib
import html
import html.parser
import http.client
import http.cookies
import json
import re
import secrets
import threading
import urllib.parse

import report

REDIRECT_URI = "http://127.0.0.1:1/callback"  # nothing listens there: the form browser stops before it


def request(method, url, headers=None, body=None, connection=None):
    """One request: status, headers, body. With a `connection` it is kept for the next."""
    parts = urllib.parse.urlsplit(url)
    own = connection is None
    connection = connection or http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        if own:
            connection.close()


def fetch_json(method, url, what, headers=None, body=None, status=200):
    """One request whose answer must be JSON with the given status."""
    came, answer_headers, text = request(method, url, {"Accept": "application/json", **(headers or {})}, body)
    if came != status:
        raise report.Failure(f"{what}: {method} {url}: expected {status}, came {came} {answer_headers.get_content_type()}: {text[:500]!r}")
    try:
        return json.loads(text)
    except ValueError:
        raise report.Failure(f"{what}: {method} {url}: expected JSON, came {text[:500]!r}") from None


class Form:
    """The form of a page: where it goes, what it holds, and its buttons."""

    def __init__(self, page_url, attributes):
        self.action = urllib.parse.urljoin(page_url, attributes.get("action") or page_url)
        self.method = (attributes.get("method") or "get").upper()
        self.fields = {}
        self.buttons = []


class Page(html.parser.HTMLParser):
    """What a person could do with a page: its forms, and where it would go by itself."""

    def __init__(self, url, text):
        super().__init__()
        self.url, self.text, self.forms, self.refresh = url, text, [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append(Form(self.url, attributes))
        elif tag == "meta" and (attributes.get("http-equiv") or "").lower() == "refresh":
            found = re.match(r"\s*[\d.]*\s*[;,]?\s*url\s*=\s*['\"]?(.*?)['\"]?\s*$", attributes.get("content") or "", re.I | re.S)
            self.refresh = found and urllib.parse.urljoin(self.url, found.group(1))
        elif self.forms and tag in ("input", "button") and attributes.get("name"):
            kind = attributes.get("type") or ("submit" if tag == "button" else "text")
            if kind == "submit":
                self.forms[-1].buttons.append((attributes["name"], attributes.get("value") or ""))
            elif kind not in ("checkbox", "radio") or "checked" in attributes:
                self.forms[-1].fields[attributes["name"]] = attributes.get("value") or ""

    def form_with(self, field=None, button=None):
        """The form with this field or this button (name, value), if there is one."""
        for form in self.forms:
            if (field and field in form.fields) or (button and button in form.buttons):
                return form
        return None


class FormBrowser:
    """A browser of forms and cookies, one person's. It sends what a browser sends for a page opened by hand."""

    def __init__(self):
        self.cookies = {}

    def open(self, url, method="GET", fields=None, site="none"):
        """A page after its redirects; stops before a redirect that leaves the bridge, and answers that address instead."""
        origin = urllib.parse.urlsplit(url)[:2]
        for _ in range(10):
            headers = {
                "Accept": "text/html",
                "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1",
            }
            if self.cookies:
                headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            body = None
            if method == "POST":
                body = urllib.parse.urlencode(fields or {})
                headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": "://".join(origin)}
            status, answer_headers, text = request(method, url, headers, body)
            for line in answer_headers.get_all("Set-Cookie") or []:
                for name, morsel in http.cookies.SimpleCookie(line).items():
                    self.cookies.pop(name, None)
                    if morsel["max-age"] != "0" and morsel.value:
                        self.cookies[name] = morsel.value
            if status in (301, 302, 303, 307, 308):
                url = urllib.parse.urljoin(url, answer_headers["Location"])
                if urllib.parse.urlsplit(url)[:2] != origin:
                    return url, status
                method, fields = ("GET", None) if status in (301, 302, 303) else (method, fields)
                continue
            return Page(url, text.decode()), status
        raise report.Failure(f"more than 10 redirects, the last to {url}")

    def submit(self, form, fields=None, button=None):
        """Presses a button of a form."""
        content = {**form.fields, **(fields or {})}
        if button:
            content[button[0]] = button[1]
        return self.open(form.action, form.method, content, site="same-origin")

    def authorize(self, url, username, password, redirect_uri=REDIRECT_URI, decision="allow"):
        """Logs in and decides as asked. Answers the parameters of the redirect and the kinds of pages seen on the way."""
        target, seen = self.follow(url, username, password, redirect_uri, decision)
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query)), seen

    def follow(self, url, username, password, redirect_uri=REDIRECT_URI, decision="allow"):
        """As `authorize`, but answers the whole address that the browser would go to, byte for byte."""
        seen = []
        page, status = self.open(url)
        for _ in range(6):
            target = page if isinstance(page, str) else page.refresh
            if target and target.startswith(redirect_uri):
                return target, seen
            if isinstance(page, str):
                raise report.Failure(f"expected a redirect to {redirect_uri}, came {page}")
            login, consent = page.form_with(field="password"), page.form_with(button=("decision", decision))
            if login and "login" not in seen:
                seen.append("login")
                page, status = self.submit(login, {"username": username, "password": password}, (login.buttons or [None])[0])
            elif consent and not login and "consent" not in seen:
                seen.append("consent")
                page, status = self.submit(consent, button=("decision", decision))
            else:
                break
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.unescape(page.text)))
        raise report.Failure(f"after the pages {seen}, expected a redirect to {redirect_uri}, came {status} at {page.url}: {text[:600]}")


class Client:
    """A registered client and its tokens for one user."""

    def __init__(self, mcp_url, name="e2e", redirect_uri=REDIRECT_URI):
        self.mcp_url, self.name, self.redirect_uri = mcp_url, name, redirect_uri
        self.client_id = self.access_token = self.refresh_token = None

    def discover(self):
        """401 → protected resource metadata → authorization server metadata."""
        status, headers, body = request("POST", self.mcp_url, {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}, "{}")
        challenge = headers.get("WWW-Authenticate") or ""
        found = re.search(r'resource_metadata="([^"]+)"', challenge)
        if status != 401 or not found:
            raise report.Failure(f"without a token: expected 401 with resource_metadata, came {status}, WWW-Authenticate {challenge!r}, {body[:300]!r}")
        resource = fetch_json("GET", found.group(1), "protected resource metadata (RFC 9728)")
        report.equal(resource["resource"], self.mcp_url, "resource in the protected resource metadata")
        issuer = resource["authorization_servers"][0]
        self.metadata = fetch_json("GET", f"{issuer}/.well-known/oauth-authorization-server", "authorization server metadata (RFC 8414)")
        report.equal(self.metadata["issuer"], issuer, "issuer in the authorization server metadata")
        return self

    def register(self):
        """Dynamic registration (RFC 7591)."""
        body = json.dumps({
            "client_name": self.name, "redirect_uris": [self.redirect_uri], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        })
        answer = fetch_json("POST", self.metadata["registration_endpoint"], "registration", {"Content-Type": "application/json"}, body, 201)
        self.client_id = answer["client_id"]
        return self

    def authorization_url(self, scope=None):
        """A new authorization request; remembers its verifier and state."""
        self.verifier, self.state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code", "client_id": self.client_id, "redirect_uri": self.redirect_uri, "state": self.state,
            "code_challenge": challenge, "code_challenge_method": "S256", "resource": self.mcp_url,
        } | ({"scope": scope} if scope else {})
        return f"{self.metadata['authorization_endpoint']}?{urllib.parse.urlencode(query)}"

    def redeem(self, answer):
        """Checks the answer of the browser (RFC 9207 included) and redeems its code."""
        report.equal(answer.get("state"), self.state, f"state of the authorization response {answer}")
        report.equal(answer.get("iss"), self.metadata["issuer"], f"iss of the authorization response {answer}")
        report.true("code" in answer, f"expected a code in the authorization response, came {answer}")
        return self._token({
            "grant_type": "authorization_code", "code": answer["code"], "redirect_uri": self.redirect_uri, "code_verifier": self.verifier,
        }, "token request")

    def login(self, browser, username, password):
        """Everything from the URL to tokens, through a form browser."""
        self.discover().register()
        answer, _ = browser.authorize(self.authorization_url(), username, password, self.redirect_uri)
        self.redeem(answer)
        return self

    def refresh(self):
        """Refreshes, and keeps the successor."""
        return self._token({"grant_type": "refresh_token", "refresh_token": self.refresh_token}, "refresh")

    def try_refresh(self, token, connection=None):
        """One refresh with a given token: status and JSON. Changes nothing here."""
        status, _, body = self.post_token({"grant_type": "refresh_token", "refresh_token": token}, connection)
        return status, json.loads(body)

    def post_token(self, fields, connection=None):
        """A request to the token endpoint."""
        body = urllib.parse.urlencode({**fields, "client_id": self.client_id, "resource": self.mcp_url})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        return request("POST", self.metadata["token_endpoint"], headers, body, connection)

    def _token(self, fields, what):
        status, headers, body = self.post_token(fields)
        if status != 200:
            raise report.Failure(f"{what}: expected 200, came {status}: {body[:500]!r}")
        report.equal(headers.get("Cache-Control"), "no-store", f"Cache-Control of the {what}")
        answer = json.loads(body)
        self.access_token, self.refresh_token = answer["access_token"], answer["refresh_token"]
        return answer


class Session:
    """An MCP session over Streamable HTTP, one connection, one request at a time; several may share a session."""

    VERSION = "2025-11-25"

    def __init__(self, client, session_id=None):
        self.client, self.id = client, session_id
        self.notifications = []
        parts = urllib.parse.urlsplit(client.mcp_url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)

    def sibling(self):
        """Another connection of the same session."""
        return Session(self.client, self.id)

    def post(self, message):
        """Posts one message: status, headers, and the JSON-RPC messages of the answer (JSON or SSE)."""
        headers = {
            "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
            "Authorization": f"Bearer {self.client.access_token}",
        }
        if message.get("method") != "initialize":
            headers["MCP-Protocol-Version"] = self.VERSION
        if self.id:
            headers["Mcp-Session-Id"] = self.id
        status, answer_headers, body = request("POST", self.client.mcp_url, headers, json.dumps(message), self.connection)
        messages = []
        if status == 200:
            messages = _events(body) if answer_headers.get_content_type() == "text/event-stream" else [json.loads(body)]
        elif status >= 400:
            messages = [{"http": status, "body": body.decode(errors="replace")[:500], "challenge": answer_headers.get("WWW-Authenticate")}]
        return status, answer_headers, messages

    def initialize(self):
        """The handshake."""
        status, headers, messages = self.post({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {"protocolVersion": self.VERSION, "capabilities": {}, "clientInfo": {"name": self.client.name, "version": "1"}},
        })
        if status != 200 or "result" not in messages[-1]:
            raise report.Failure(f"initialize: expected a result, came {status} {messages}")
        self.id = headers["Mcp-Session-Id"]
        status, _, messages = self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        report.equal(status, 202, f"status of notifications/initialized ({messages})")
        return self

    def request(self, id, method, params=None):
        """A request and its answer, which must carry the same id; notifications on the way are kept."""
        status, _, messages = self.post({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}})
        if status != 200:
            raise report.Failure(f"{method} with id {id}: expected 200, came {status} {messages}")
        answers = [message for message in messages if "method" not in message]
        self.notifications += [message for message in messages if "method" in message]
        if len(answers) != 1 or answers[0].get("id") != id:
            raise report.Failure(f"{method} with id {id}: expected one answer with that id, came {messages}")
        return answers[0]

    def call(self, id, tool, arguments, meta=None):
        """A tool call whose result must not be an error: its text."""
        params = {"name": tool, "arguments": arguments} | ({"_meta": meta} if meta else {})
        answer = self.request(id, "tools/call", params)
        if "result" not in answer or answer["result"].get("isError"):
            raise report.Failure(f"tools/call {tool} {arguments}: expected a result, came {answer}")
        return "".join(part.get("text", "") for part in answer["result"]["content"])

    def tools(self):
        """Names of the tools → their definitions."""
        answer = self.request("tools", "tools/list")
        return {tool["name"]: tool for tool in answer["result"]["tools"]}


def _events(body):
    """The JSON messages of a finished event stream; comments and empty (priming) events are left out."""
    messages = []
    for event in re.split(r"\r?\n\r?\n", body.decode()):
        data = "\n".join(line[5:].removeprefix(" ") for line in event.splitlines() if line.startswith("data:"))
        if data:
            messages.append(json.loads(data))
    return messages


class Threads:
    """Threads whose first error is the error of the whole."""

    def __init__(self):
        self.threads, self.errors, self.stop = [], [], threading.Event()

    def start(self, function, *arguments):
        """Runs a function in a thread."""
        def run():
            try:
                function(*arguments)
            except Exception as error:  # noqa: BLE001: carried over to `join`
                self.errors.append(error)
                self.stop.set()

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def join(self, seconds):
        """Waits for all, and raises what the first one raised."""
        for thread in self.threads:
            thread.join(seconds)
            if thread.is_alive() and not self.errors:
                raise report.Failure(f"a thread still runs after {seconds} s")
        if self.errors:
            raise self.errors[0]
