"""Users, and the clients that hold tokens for them."""

import threading
import time

import report
from oauth import Client, FormBrowser

SPARE = 15.0  # a token with less left (in seconds) is refreshed before it is used, so that no call ends with it


class Account:
    """A person with one browser, where they stay logged in."""

    def __init__(self, name):
        self.name, self.password = name, f"{name}'s long password"
        self.browser, self.lock = FormBrowser(), threading.Lock()


class Holder:
    """A registered client with tokens for one person, shared by the threads of that client."""

    def __init__(self, soak, account, name):
        self.soak, self.account, self.name = soak, account, name
        self.client = Client(soak.bridge.url, name)
        self.lock = threading.Lock()
        self.ends = 0.0

    def login(self):
        """Registration, login and consent."""
        with self.account.lock:
            answer = self._authorize()
        self.client.redeem(answer)
        self._renewed()
        self.soak.ledger.count("login")
        return self

    def _authorize(self):
        self.client.discover().register()
        browser, account = self.account.browser, self.account
        answer, _ = browser.authorize(self.client.authorization_url(), account.name, account.password)
        return answer

    def bearer(self, spare=SPARE):
        """An access token that is good for a while."""
        with self.lock:
            if self.ends - time.monotonic() < spare:
                self._refresh()
            return self.client.access_token

    def refresh(self):
        """New tokens, whether needed or not."""
        with self.lock:
            self._refresh()

    def _refresh(self):
        self.client.refresh()
        self._renewed()
        self.soak.ledger.count("refresh")

    def _renewed(self):
        self.ends = time.monotonic() + self.soak.form.token_lifetime

    def revoke(self, token, hint):
        """RFC 7009."""
        status, _, body = self.soak.request("POST", "/oauth/revoke", {"token": token, "token_type_hint": hint, "client_id": self.client.client_id})
        report.equal(status, 200, f"status of a revocation ({body[:200]!r})")
