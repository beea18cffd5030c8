"""Two providers and a password form on one login page: each way in works, and pictures of the pages that only federated login has.

Part of federated.py.
"""

import json

import report
import steps
from bridge import Bridge
from oauth import Client, Session
from provider import SCOPES, Provider
from report import check

VARIANTS = {
    "phone-light": {"viewport": {"width": 390, "height": 844}, "colorScheme": "light"},
    "phone-dark": {"viewport": {"width": 390, "height": 844}, "colorScheme": "dark"},
    "desktop-light": {"viewport": {"width": 1280, "height": 800}, "colorScheme": "light"},
    "desktop-dark": {"viewport": {"width": 1280, "height": 800}, "colorScheme": "dark"},
}
PICTURES = ("login", "consent", "onward", "denied", "logout", "logged-out")

CONFIG = """
server:
  listen: 127.0.0.1:@PORT@
  rate_limit:
    login: {{limit: 0}}
  oauth_server:
    enabled: true
    mode: both
    allow_dynamic_registration: true
    allowed_redirect_uris: ["@loopback"]
    builtin:
      create_first_user: true
    federated:
      providers:
        company:
          label: "The Company"
          upstream_issuer: "{company.issuer}/"
          client_id: "bridge-by-key"
          auth_method: private_key_jwt
          scopes: ["openid", "email", "profile", "groups"]
          default_scopes: ["mcp:read", "mcp:write"]
        partners:
          label: "Our partners, with a rather long name"
          upstream_issuer: "{partners.issuer}"
          client_id: "bridge-by-post"
          client_secret_env: "PARTNERS_SECRET"
          auth_method: post
          scopes: {scopes}
          default_scopes: ["mcp:read", "mcp:write"]
upstreams:
  me: {{builtin: whoami}}
"""


class Both:
    """Two providers of different ways: one signs with ES256, puts the claims into the ID token and takes a JWT of ours; the other one does none of that."""

    def __init__(self):
        self.company, self.partners = Provider("127.0.0.1", claims_in_id_token=True), Provider("localhost")
        self.providers = [self.company, self.partners]
        config = CONFIG.format(company=self.company, partners=self.partners, scopes=json.dumps(SCOPES))
        self.bridge = Bridge(config, {"PARTNERS_SECRET": self.partners.secret})
        callback = f"{self.bridge.origin}/oauth/callback"
        self.company.register(
            "bridge-by-key", f"{callback}/company", "private_key_jwt", jwks_uri=f"{self.bridge.origin}/oauth/jwks",
            token_endpoint_auth_signing_alg="ES256", id_token_signed_response_alg="ES256",
        )
        self.partners.register("bridge-by-post", f"{callback}/partners", "client_secret_post")

    def person(self, login="ada", **window):
        """Somebody with a new browser."""
        return steps.Person(self.bridge, self.providers, login, **window)

    def client(self, name, person):
        """A registered client that waits where this person's browser will arrive."""
        return Client(self.bridge.url, name, person.callback.uri).discover().register()


def ways_in(both):
    """Every button and the form."""
    ways = (("company", both.company, "private_key_jwt"), ("partners", both.partners, "post"))
    for name, provider, authentication in ways:
        with check(f"mode both: a login at {name}, where the bridge shows who it is by {authentication}"):
            person = both.person(javascript=False)
            client = both.client(name, person)
            report.equal(person.go(provider=name, url=client.authorization_url()), ["login", "consent", *steps.AT_THE_PROVIDER], "pages seen by the person")
            client.redeem(person.client_answer())
            report.contains(Session(client).initialize().call(1, "whoami", {}), provider.user("ada"), "answer of whoami")
            seen = [request for request in provider.seen("authorization", "token")]
            report.equal([(request["route"], request["status"], request["redirect_uri"]) for request in seen],
                         [("authorization", 303, f"{both.bridge.origin}/oauth/callback/{name}"),
                          ("token", 200, f"{both.bridge.origin}/oauth/callback/{name}")], f"requests at {name}")
            report.equal(seen[-1]["authentication"], authentication, "authentication at the token endpoint")
            person.expect_no_complaints()
            person.close()
    with check("mode both: the first user logs in with the password"):
        person = both.person(javascript=False)
        client = both.client("password", person)
        username, password = both.bridge.first_user()
        person.step("open", url=client.authorization_url())
        person.wait("login")
        report.equal([button["value"] for button in person.view["buttons"] if button["name"] == "provider"], ["company", "partners"], "buttons of the login page")
        person.log_in_with_password(username, password)
        report.equal(person.go(), ["consent"], "pages after the password")
        client.redeem(person.client_answer())
        report.contains(Session(client).initialize().call(1, "whoami", {}), username, "answer of whoami")
        person.expect_no_complaints()
        person.close()


def pictures(both, directory, variant, window):
    """The pages in the order in which somebody meets them; answers what is wrong with them."""
    problems = []
    person = both.person(**window)
    client = both.client("Zoë's Über-Agent", person)

    def picture(kind):
        name = f"federated-{kind}-{variant}"
        problems.extend(person.step("picture", path=str(directory / f"{name}.png"), name=name)["problems"])

    person.step("open", url=client.authorization_url())
    person.wait("login")
    picture("login")
    person.get_on("login", "partners")
    person.wait("consent")
    picture("consent")
    person.go_until_sent_to(both.partners.issuer)
    picture("onward")
    person.press(f'a[href^="{both.partners.issuer}"]')  # for whom the page does not move by itself
    person.wait("provider login")
    person.press("button[name=answer][value=cancel]")
    person.wait("error")
    picture("denied")
    person.press(':is(a,button):has-text("Try again")')
    person.go(provider="company")
    client.redeem(person.client_answer())
    person.step("open", url=f"{both.bridge.origin}/oauth/logout")
    person.wait("logout")
    picture("logout")
    person.press("form[method=post] button")
    person.wait("logged out")
    picture("logged-out")
    problems.extend(f"{variant}: {complaint}" for complaint in person.step("complaints")["complaints"])
    person.close()
    return problems


def run(directory):
    """The ways in, then the pictures."""
    both = Both()
    with check("mode both: two providers and the bridge start"):
        for provider in both.providers:
            provider.start()
        both.bridge.start()
    ways_in(both)
    with check("mode both: login, consent, onward, denied, logout: no violation, nothing out of the window, no complaint of the browser"):
        problems = [problem for variant, window in VARIANTS.items() for problem in pictures(both, directory, variant, window)]
        taken = [path for path in (directory / f"federated-{kind}-{variant}.png" for variant in VARIANTS for kind in PICTURES) if path.exists()]
        print(f"  {len(taken)} pictures in {directory}")
        report.equal(len(taken), len(VARIANTS) * len(PICTURES), "pictures")
        report.true(not problems, "expected no problem, came:\n    " + "\n    ".join(problems))
    with check("mode both: SIGTERM ends the bridge with exit code 0"):
        report.equal(both.bridge.stop(), 0, "exit code after SIGTERM")
        for provider in both.providers:
            provider.stop()
