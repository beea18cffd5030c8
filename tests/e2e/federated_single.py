"""One provider and no password form: from the SDK's login to a provider that is away.

Part of federated.py.
"""

import asyncio
import json
import sqlite3
import subprocess

import report
import sdk
import sdk_v2
import steps
from bridge import BINARY, PATIENCE, Bridge, expect_gone
from federated_refused import another_browser, ended, refused, unreachable, used_again
from oauth import Client, Session
from provider import SCOPES, Provider
from report import check
from steps import AT_THE_PROVIDER

BOTH_SCOPES = "mcp:read mcp:write"

# As in the seed's example for Google; `prompt: consent` because a provider gives offline access only when the person is asked (OpenID Connect Core §11).
CONFIG = """
server:
  listen: 127.0.0.1:@PORT@
  rate_limit:
    login: {{limit: 0}}
  oauth_server:
    enabled: true
    mode: federated
    token_lifetime: 1h
    federated:
      upstream_issuer: "{issuer}"
      label: "Example"
      client_id: "bridge"
      client_secret_env: "PROVIDER_SECRET"
      scopes: {scopes}
      authorize_parameters: {{prompt: consent}}
      allowed_domains:
        - "example.com"
      default_scopes: ["mcp:read"]
      group_scopes: {{writers: ["mcp:write"]}}
    allow_dynamic_registration: true
    allowed_redirect_uris: ["@loopback"]
upstreams:
  me: {{builtin: whoami}}
"""


class SdkPerson(steps.Person):
    """The person as the SDK's story wants one: opens what the client asks to open."""

    expected = ["consent", *AT_THE_PROVIDER]

    def __init__(self, *arguments, **window):
        super().__init__(*arguments, **window)
        self.username, self.visits = self.providers[0].user(self.login), []

    async def open(self, url):
        self.visits.append(await asyncio.to_thread(self.go, url=url))

    async def answer(self):
        return await asyncio.to_thread(self.callback.take)


class Single:
    """One provider, mode `federated`."""

    def __init__(self):
        # `localhost` and 127.0.0.1 are two sites to a browser: cookies and Sec-Fetch-Site are as with a provider on the internet.
        self.provider = Provider("localhost")
        self.bridge = Bridge(CONFIG.format(issuer=self.provider.issuer, scopes=json.dumps(SCOPES)), {"PROVIDER_SECRET": self.provider.secret})
        self.provider.register("bridge", f"{self.bridge.origin}/oauth/callback", post_logout_redirect_uris=[f"{self.bridge.origin}/oauth/logout"])

    def person(self, login="ada"):
        """Somebody with a new browser without JavaScript."""
        return steps.Person(self.bridge, [self.provider], login, javascript=False)

    def client(self, name, person):
        """A registered client that waits where this person's browser will arrive."""
        return Client(self.bridge.url, name, person.callback.uri).discover().register()

    def logged_in(self, name, login="ada", scope=BOTH_SCOPES):
        """A client that this person let in with a new browser; answers what it got, too."""
        person = self.person(login)
        client = self.client(name, person)
        report.equal(person.go(url=client.authorization_url(scope)), ["consent", *AT_THE_PROVIDER], "pages seen by the person")
        answer = client.redeem(person.client_answer())
        person.expect_no_complaints()
        person.close()
        return client, answer

    def later(self, seconds):
        """That many seconds pass since the provider last vouched for anybody: it is asked again after a minute."""
        database = next(self.bridge.directory.rglob("*.db"))
        with sqlite3.connect(database, timeout=10) as connection:
            changed = connection.execute("UPDATE accounts SET confirmed_at = confirmed_at - ?", (seconds,)).rowcount
        connection.close()
        report.true(changed > 0, "expected accounts in the store, came none")

    def expect_whoami(self, client, login):
        """A call goes through, and the server is told who it is."""
        report.contains(Session(client).initialize().call(1, "whoami", {}), self.provider.user(login), "answer of whoami")

    def expect_refresh(self, client, status, error=None):
        """A refresh, with what it must come to; keeps the successor."""
        came, answer = client.try_refresh(client.refresh_token)
        report.equal((came, answer.get("error")), (status, error), f"refresh ({answer.get('error_description')})")
        if status == 200:
            client.access_token, client.refresh_token = answer["access_token"], answer["refresh_token"]
        return answer

    def expect_error_page(self, person, *unwanted):
        """The page in front of the person is an error page whose reference finds a line of the log; nothing unwanted stands there."""
        person.wait("error")
        reference = person.view["reference"]
        log = self.bridge.log.read_text()
        report.true(reference in log, f"expected the reference {reference!r} in the bridge's log")
        for text in unwanted:
            report.true(text not in person.view["text"], f"expected no {text!r} on the error page, came {person.view['text']}")
        return person.view

    def expect_denied(self, client, person):
        """The way back to the app tells it no more than that access was denied."""
        person.press(':is(a,button):has-text("Back to")')
        person.wait("client")
        answer = person.client_answer()
        report.equal(answer.pop("state", None), client.state, "state of the refusal")
        report.equal((answer.get("error"), answer.get("iss")), ("access_denied", client.metadata["issuer"]), f"answer to the client: {answer}")
        report.true("code" not in answer and "Cancel" not in str(answer), f"expected nothing of the provider's words, came {answer}")


def start(single):
    """The provider and the bridge run."""
    with check("federated: the configuration is sound, the provider and the bridge start"):
        single.provider.start()
        done = subprocess.run([str(BINARY), "config", "check", "-c", str(single.bridge.config)], env=single.bridge.environment,
                              cwd=single.bridge.directory, text=True, capture_output=True, timeout=PATIENCE)
        report.equal(done.returncode, 0, f"exit code of config check, which said {done.stdout}{done.stderr}")
        single.bridge.start()


def with_sdk(single):
    """The story of the SDK's steps, and what the provider saw of it."""
    person = SdkPerson(single.bridge, [single.provider], javascript=False)
    story = sdk.Story(sdk_v2.STATELESS)
    asyncio.run(story.tell("federated, SDK 2.3.0", single.bridge, person, story.whoami))
    with check("federated, SDK 2.3.0: the provider saw PKCE, state and nonce, our one redirect URI, and the secret in the Authorization header"):
        seen = single.provider.seen()
        asked = [request for request in seen if request["route"] == "authorization"]
        report.equal([(request["response_type"], request["code_challenge_method"], request["state"], request["nonce"], request["redirect_uri"])
                      for request in asked], [("code", "S256", True, True, f"{single.bridge.origin}/oauth/callback")], "authorization requests")
        report.equal(sorted(asked[0]["scope"].split()), sorted(SCOPES), "scopes asked for")
        tokens = [request for request in seen if request["route"] == "token"]
        report.equal([(request["grant_type"], request["authentication"], request["status"]) for request in tokens],
                     [("authorization_code", "basic", 200)], "token requests: a code once, no refresh in the first minute")
        report.equal([request["status"] for request in seen if request["route"] == "userinfo"], [200], "userinfo requests")
        person.expect_no_complaints()
        person.close()


def restart(single):
    """The bridge dies while the person is at the provider."""
    with check("federated: kill -9 and restart between redirect and callback, and the login still completes"):
        person = single.person()
        client = single.client("restart", person)
        report.equal(person.go("provider login", url=client.authorization_url()), ["consent"], "pages before the provider")
        single.bridge.kill()
        single.bridge.start()
        report.equal(person.go(), AT_THE_PROVIDER, "pages after the restart")
        client.redeem(person.client_answer())
        single.expect_whoami(client, "ada")
        person.close()


def scopes(single):
    """What the person may do is what the configuration says of the profile."""
    with check("federated: a group's member gets that group's scopes, another one does not"):
        _, ada = single.logged_in("scopes of ada", "ada")
        _, bob = single.logged_in("scopes of bob", "bob")
        report.equal((sorted(ada["scope"].split()), bob["scope"]), (sorted(BOTH_SCOPES.split()), "mcp:read"), "granted scopes of ada and bob")
    with check("federated: who left the group at the provider has its scopes no longer at the next refresh"):
        client, _ = single.logged_in("leaves the group", "ada")
        single.provider.tell(claims="ada", set={"groups": []})
        single.later(120)
        report.equal(single.expect_refresh(client, 200)["scope"], "mcp:read", "scope after the refresh")
        single.provider.tell(claims="ada", set={"groups": ["writers"]})


def session(single):
    """The browser session, and its end."""
    person = single.person()
    with check("federated: the same browser is not sent to the provider for a second client, unless that asks for a login"):
        first, second = single.client("first", person), single.client("second", person)
        report.equal(person.go(url=first.authorization_url()), ["consent", *AT_THE_PROVIDER], "pages for the first client")
        first.redeem(person.client_answer())
        report.equal(person.go(url=second.authorization_url()), ["consent"], "pages for the second client")
        second.redeem(person.client_answer())
        single.expect_whoami(second, "ada")
        pages = person.go(url=first.authorization_url() + "&prompt=login")
        report.true(pages in (AT_THE_PROVIDER, ["consent", *AT_THE_PROVIDER]), f"expected a login at the provider with prompt=login, came {pages}")
        first.redeem(person.client_answer())
    with check("federated: who is not the one who is logged in logs in as somebody else, at the provider too"):
        third = single.client("third", person)
        person.go("consent", url=third.authorization_url())
        person.login = "bob"
        person.press("button[name=decision][value=switch]")
        report.equal(person.go(), ["consent", *AT_THE_PROVIDER], "pages after the switch")
        third.redeem(person.client_answer())
        single.expect_whoami(third, "bob")
        single.expect_whoami(second, "ada")
    with check("federated: logout ends our session and offers the provider's logout; after both the person logs in anew"):
        person.step("open", url=f"{single.bridge.origin}/oauth/logout")
        person.wait("logout")
        person.press("form[method=post] button")
        person.wait("logged out")
        report.true(any(link["href"].startswith(single.provider.issuer) for link in person.view["links"]),
                    f"expected a link to the provider's logout, came {person.view['links']}")
        person.press(f'a[href^="{single.provider.issuer}"]')
        person.wait("provider logout")
        person.press("button[name=logout]")
        person.wait("provider logged out", "logout", "logged out")
        pages = person.go(url=first.authorization_url())
        report.true(pages in (AT_THE_PROVIDER, ["consent", *AT_THE_PROVIDER]), f"expected a login at the provider, came {pages}")
        first.redeem(person.client_answer())
        person.expect_no_complaints()
        person.close()


def stop(single):
    """Nothing is left, and nothing secret was written down."""
    with check("federated: SIGTERM ends the bridge with exit code 0 and leaves no process"):
        left = single.bridge.descendants()
        report.equal(single.bridge.stop(), 0, "exit code after SIGTERM")
        expect_gone(left, 5, "after SIGTERM")
    with check("federated: the client secret of the provider is neither in the log nor in the store"):
        for path in [single.bridge.log, *single.bridge.directory.rglob("*.db*")]:
            report.true(single.provider.secret.encode() not in path.read_bytes(), f"expected no client secret in {path.name}")
    single.provider.stop()


def run():
    """The parts in their order; each leaves the bridge and the provider running and everybody as they were."""
    single = Single()
    for part in (start, with_sdk, restart, scopes, refused, another_browser, used_again, session, ended, unreachable, stop):
        part(single)
