"""A person at the pages of the bridge and of its identity providers, step by step (see steps.mjs)."""

import urllib.parse

import browser
import report
from bridge import PATIENCE
from lines import Lines
from provider import PASSWORD

AT_THE_PROVIDER = ["provider login", "provider consent"]  # the pages of a first login there
TO_ANSWER = ("login", "consent", "provider login", "provider consent", "provider onward")  # the pages that wait for somebody


class Person:
    """Somebody with a browser of their own. The page in front of them has a kind:

    at the bridge  `login`, `consent`, `onward` (to the provider), `returning` (to the client), `error`, `logout`, `logged out`
    at a provider  `provider login`, `provider consent`, `provider error`, `provider logout`, `provider logged out`
                   `provider onward`: what a script would press is to be pressed by hand
    at the client  `client`
    """

    def __init__(self, bridge, providers, login="ada", **window):
        """`window`: javascript, viewport, colorScheme."""
        self.bridge, self.providers, self.login = bridge, providers, login
        self.password = PASSWORD
        self.callback = browser.Callback()
        self.pages, self.view = [], None
        self._lines = Lines("steps.mjs", {"origin": bridge.origin, **window})

    def step(self, do, **more):
        """One step of steps.mjs."""
        return self._lines.tell({"do": do, **more})

    def kind(self, view):
        """The kind of a page; `None` while it is on its way or unknown."""
        if view.get("busy"):
            return None
        values = {(button["name"], button["value"]) for button in view["buttons"]}
        if view["url"].startswith(self.callback.uri):
            return "client"
        if any(view["url"].startswith(f"{provider.issuer}/") for provider in self.providers):
            return _kind_at_provider(view, values)
        return _kind_at_bridge(view, values, self.callback.uri) if view["url"].startswith(f"{self.bridge.origin}/") else None

    def wait(self, *kinds):
        """Until a page of one of these kinds is there, which `view` then holds; an error page that nobody waits for is a failure."""
        def arrived():
            self.view = self.step("look")
            kind = self.kind(self.view)
            if kind in ("error", "provider error") and kind not in kinds:
                raise report.Failure(f"expected {' or '.join(kinds)} after the pages {self.pages}, came {kind}: {self.view['text']}")
            return kind if kind in kinds else None

        return report.until(arrived, PATIENCE, lambda: f"{' or '.join(kinds)} after the pages {self.pages}; the page is {self.view}")

    def press(self, selector):
        """A button or a link of the page."""
        self.step("press", selector=selector)

    def log_in_at_provider(self):
        """Types login and password at the provider."""
        self.step("fill", fields={"input[name=login]": self.login, "input[name=secret]": self.password})
        self.press("button[name=answer][value=login]")

    def log_in_with_password(self, username, password):
        """Types user name and password at the bridge."""
        self.step("fill", fields={"input[name=username]": username, "input[name=password]": password})
        self.press("form:has(input[name=password]) button[name=decision][value=login]")

    def get_on(self, kind, provider=None):
        """What somebody does who wants to get on; `provider`: the button to press at the login page."""
        if kind == "login":
            self.press(f'button[name=provider][value="{provider}"]')
        elif kind == "consent":
            self.press("button[name=decision][value=allow]")
        elif kind == "provider login":
            self.log_in_at_provider()
        elif kind == "provider consent":
            self.press("button[name=answer][value=consent]")
        elif kind == "provider onward":
            self.press("button")
        else:
            raise report.Failure(f"nothing to do at {kind}")

    def go(self, until="client", provider=None, url=None):
        """Opens `url`, if any, and gets on until a page of the kind `until`; answers the kinds of the pages before it."""
        self.pages = []
        if url:
            self.step("open", url=url)
        while True:
            kind = self.wait(*TO_ANSWER, "client", until)
            if kind == until:
                return self.pages
            if kind == "client" or kind in self.pages:
                raise report.Failure(f"expected {until} after the pages {self.pages}, came {kind}: {self.view['url']} {self.view['text']}")
            self.get_on(kind, provider)
            if kind != "provider onward":
                self.pages.append(kind)

    def visited(self, prefix):
        """Where the browser went so far that begins with `prefix`."""
        return self.step("visited", prefix=prefix)["visited"]

    def go_until_sent_to(self, prefix, provider=None, url=None):
        """Gets on until a page of the bridge sends the browser to an address that begins with `prefix`; answers the address, and stays on that page."""
        before = len(self.visited(prefix))
        self.step("hold", prefix=prefix)
        page = self.go("onward" if any(prefix == known.issuer for known in self.providers) else "returning", provider, url)
        address = report.until(lambda: self.visited(prefix)[before:], PATIENCE, f"the page after {page} to go to {prefix} by itself")[0]
        self.step("hold")
        return address

    def client_answer(self):
        """What the client got."""
        return self.callback.take()

    def expect_no_complaints(self):
        """The browser refused nothing and missed nothing at the bridge's pages."""
        report.equal(self.step("complaints")["complaints"], [], "complaints of the browser")

    def close(self):
        """Closes the browser."""
        self._lines.close()


def _kind_at_provider(view, values):
    if "secret" in view["fields"]:
        return "provider login"
    if ("answer", "consent") in values:
        return "provider consent"
    if ("logout", "yes") in values:
        return "provider logout"
    if view["title"] == "Submitting Callback" and view["buttons"]:
        return "provider onward"
    if view["heading"] == "Provider: logged out":
        return "provider logged out"
    return "provider error" if view["alert"] else None


def _kind_at_bridge(view, values, redirect_uri):
    if "password" in view["fields"] or any(name == "provider" for name, _ in values):
        return "login"
    if ("decision", "allow") in values:
        return "consent"
    if view["refresh"]:
        return "returning" if any(link["href"].startswith(redirect_uri) for link in view["links"]) else "onward"
    if urllib.parse.urlsplit(view["url"]).path.endswith("/oauth/logout"):
        return "logout" if view["buttons"] else "logged out"
    return "error" if view["reference"] else None
