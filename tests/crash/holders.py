"""Clients with a memory: each does one thing again and again until the bridge dies, and knows afterwards what was acknowledged, and what is open."""

import http.client
import json
import random
import time
import urllib.parse

import report
from oauth import Client, FormBrowser

GRACE = 1.0
GONE = (OSError, http.client.HTTPException)


class Wire:
    """One connection that is kept, and made anew after the bridge was away."""

    def __init__(self, origin):
        self.address = urllib.parse.urlsplit(origin).netloc
        self.connection = None

    def post(self, path, fields, headers=None):
        """A form, posted: status and JSON (or None). Raises one of GONE when there was no answer."""
        self.connection = self.connection or http.client.HTTPConnection(self.address, timeout=30)
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json", **(headers or {})}
            self.connection.request("POST", path, urllib.parse.urlencode(fields), headers)
            answer = self.connection.getresponse()
            body = answer.read()
        except GONE:
            self.drop()
            raise
        return answer.status, json.loads(body) if body else None

    def drop(self):
        """Ends the connection; the next request makes another."""
        if self.connection:
            self.connection.close()
        self.connection = None


class Holder:
    """What all of them share: a client of their own, and the person's browser."""

    what = ""

    def __init__(self, bridge, browser, name):
        self.client = Client(bridge.url, name).discover().register()
        self.browser = FormBrowser()
        self.browser.cookies = dict(browser.cookies)
        self.wire = Wire(bridge.origin)
        self.answered = self.lost = self.lost_but_done = 0

    def storm(self, stop):
        """Goes on until there is no answer any more."""
        while not stop.is_set():
            try:
                self.once()
            except GONE:
                break
        self.wire.drop()

    def token(self, **fields):
        """A token request: status and JSON."""
        return self.wire.post("/oauth/token", {**fields, "client_id": self.client.client_id, "resource": self.client.mcp_url})

    def refresh(self, token):
        """A refresh: status and JSON."""
        return self.token(grant_type="refresh_token", refresh_token=token)

    def code(self):
        """The person says yes: a code and its verifier."""
        answer, _ = self.browser.authorize(self.client.authorization_url(), "", "")
        return {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": self.client.redirect_uri, "code_verifier": self.client.verifier}

    def tokens(self):
        """Tokens of a new grant."""
        status, answer = self.token(**self.code())
        report.equal((status, (answer or {}).get("error")), (200, None), f"{self.what}: a fresh code")
        return answer

    def works(self, token, what):
        """Demands that a refresh token works: the answer."""
        status, answer = self.refresh(token)
        report.equal((status, (answer or {}).get("error")), (200, None), f"{self.what}: {what}")
        return answer

    def is_dead(self, token, what):
        """Demands that a refresh token does not work."""
        status, answer = self.refresh(token)
        report.equal((status, (answer or {}).get("error")), (400, "invalid_grant"), f"{self.what}: {what}")

    def call(self, access_token):
        """The status of a call at the resource."""
        path = urllib.parse.urlsplit(self.client.mcp_url).path
        headers = {"Authorization": f"Bearer {access_token}", "Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        return self.wire.post(path, {}, headers)[0]


class Refresher(Holder):
    """Refreshes with its newest token; at times it asks twice, as a client that missed the answer."""

    what = "refresh"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ended = []
        self.begin()

    def begin(self):
        """A new login."""
        answer = self.tokens()
        self.chain, self.access_token = [(answer["refresh_token"], time.monotonic())], answer["access_token"]
        self.open = False

    @property
    def newest(self):
        """The newest token that was acknowledged."""
        return self.chain[-1][0]

    def once(self):
        """One refresh, and now and then the same again: the same successor must come."""
        self.open = True
        answer = self.works(self.newest, f"the newest token (of {len(self.chain)})")
        if random.random() < 0.1:
            again = self.works(self.newest, "the same token at once again, its successor unused")
            report.equal(again["refresh_token"], answer["refresh_token"], "refresh: the successor, asked for twice")
        self.chain.append((answer["refresh_token"], time.monotonic()))
        self.access_token = answer["access_token"]
        self.open = False
        self.answered += 1

    def judge(self):
        """The newest acknowledged token works, whether or not the last request was answered, and has one successor."""
        self.lost += self.open
        how = "the last request had no answer" if self.open else "every request had its answer"
        first = self.works(self.newest, f"the newest acknowledged token after the crash ({how}, {len(self.chain)} tokens)")
        second = self.works(self.newest, "the same once more")
        report.equal(second["refresh_token"], first["refresh_token"], "refresh: one successor after the crash")
        self.chain.append((first["refresh_token"], time.monotonic()))
        for token in self.ended[-3:]:
            self.is_dead(token, "a family that ended because an old token was used, after another crash")

    def sacrifice(self):
        """An old token whose successor was used: it does not work, and ends the family. False if there is none yet."""
        limit = time.monotonic() - GRACE - 1
        old = [self.chain[k][0] for k in range(len(self.chain) - 2) if self.chain[k + 2][1] < limit]
        if not old:
            return False
        self.is_dead(random.choice(old), f"an old token after the crash (of {len(self.chain)})")
        self.is_dead(self.newest, "the newest token of a family whose old token was used")
        report.equal(self.call(self.access_token), 401, "refresh: status of a call with the access token of that family")
        self.ended.append(self.newest)
        self.begin()
        return True


class Redeemer(Holder):
    """Redeems codes."""

    what = "code"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.spent, self.open = [], None

    def once(self):
        """One code."""
        self.open = None
        code = self.code()
        self.open = code
        status, answer = self.token(**code)
        report.equal((status, answer.get("error")), (200, None), "code: a fresh code")
        self.spent.append((code, answer["refresh_token"]))
        self.open = None
        self.answered += 1

    def judge(self):
        """What a code gave works, the code does not, and using it again ends what it gave. A code without an answer is good once at most."""
        for code, token in self.spent[-2:]:
            successor = self.works(token, "the refresh token of an acknowledged code")["refresh_token"]
            self.expect_spent(code, "an acknowledged code again after the crash")
            self.is_dead(successor, "what a code gave that was used again")
        if self.open:
            self.lost += 1
            status, answer = self.token(**self.open)
            if status == 200:
                self.expect_spent(self.open, "a code that had no answer before the crash and one after it, again")
            else:
                self.lost_but_done += 1
                report.equal((status, answer["error"]), (400, "invalid_grant"), "code: one that had no answer")
        self.spent, self.open = [], None

    def expect_spent(self, code, what):
        """Demands that a code does not work."""
        status, answer = self.token(**code)
        report.equal((status, (answer or {}).get("error")), (400, "invalid_grant"), f"code: {what}")


class Revoker(Holder):
    """Revokes: the grant by its refresh token, or an access token alone."""

    what = "revocation"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.revoked, self.open = [], None

    def revoke(self, token):
        """Demands that the endpoint takes it."""
        status, _ = self.wire.post("/oauth/revoke", {"token": token, "client_id": self.client.client_id})
        report.equal(status, 200, "revocation: status")

    def once(self):
        """One revocation."""
        self.open = None
        one = self.tokens()
        one["alone"] = random.random() < 0.5
        self.open = one
        self.revoke(one["access_token"] if one["alone"] else one["refresh_token"])
        self.revoked.append(one)
        self.open = None
        self.answered += 1

    def judge(self):
        """What was revoked stays revoked; what had no answer can be revoked again."""
        for one in self.revoked[-3:]:
            self.expect_revoked(one, "after an acknowledged revocation and the crash")
        if self.open:
            self.lost += 1
            status, answer = self.refresh(self.open["refresh_token"])
            if status == 200:
                self.revoke(answer["refresh_token"])
                self.is_dead(answer["refresh_token"], "a grant that was revoked after the crash")
            else:
                self.lost_but_done += 1
                self.expect_revoked(self.open, "seen to be revoked")
        self.revoked, self.open = [], None

    def expect_revoked(self, one, when):
        """Demands that the access token is refused; and the refresh token too, unless the access token was revoked alone."""
        report.equal(self.call(one["access_token"]), 401, f"revocation: status of a call {when}")
        if not one["alone"]:
            self.is_dead(one["refresh_token"], f"the refresh token {when}")


class Registrar(Holder):
    """Registers clients."""

    what = "registration"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.registered, self.number = [], 0

    def once(self):
        """One registration."""
        self.number += 1
        client = Client(self.client.mcp_url, f"{self.client.name}-{self.number}")
        client.metadata = self.client.metadata
        self.registered.append(client.register())
        self.answered += 1

    def judge(self):
        """A client that was told its id is known."""
        for client in self.registered[-2:]:
            page, status = self.browser.open(client.authorization_url())
            report.true(not isinstance(page, str) and status == 200, f"registration: a registered client after the crash: expected a page, came {status} {getattr(page, 'text', page)[:300]}")
        self.registered = []


KINDS = (Refresher, Redeemer, Revoker, Registrar)
