"""Strict OAuth clients that nobody here wrote drive the whole flow: oauth4webapi (npm, strict_npm.mjs) and Authlib (PyPI, strict_pypi.py).

Each plays a client that registers itself and clients of the configuration, with each way to prove who they are: discovery, login and consent,
code with PKCE, tokens, introspection, refresh, revocation, and each credential again. Python of tests/.tools/strict.
"""

import json
import secrets

from joserfc.jwk import ECKey

import report
import strict_pypi
from bridge import Bridge, config
from lines import Lines
from oauth import REDIRECT_URI, FormBrowser

INTROSPECTION = "introspection: {enabled: true}\n"
AUTHENTICATIONS = ("none", "basic", "post", "private_key_jwt")


def started():
    """A bridge with one static client for each way of authentication, and what these clients know."""
    key = ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig", "kid": "strict"})
    known = {name: {"client_id": f"client-{name}", "client_secret": secrets.token_urlsafe(32)} for name in ("basic", "post")}
    known["private_key_jwt"] = {"client_id": "client-private_key_jwt", "jwk": key.as_dict(private=True)}
    clients = "".join(
        f"  - {{client_id: {client['client_id']}, redirect_uris: ['{REDIRECT_URI}'], "
        + (f"client_secret: '{client['client_secret']}'" if "client_secret" in client else "jwks_file: client-keys.json") + "}\n"
        for client in known.values()
    )
    bridge = Bridge(config("me: {builtin: whoami}", oauth_server=f"{INTROSPECTION}clients:\n{clients}"))
    (bridge.directory / "client-keys.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    return bridge.start(), known


def visit(bridge, url):
    """The person logs in and says yes: where the browser is sent then."""
    return FormBrowser().follow(url, *bridge.first_user())[0]


def npm(bridge, settings):
    """oauth4webapi: what it checked."""
    program = Lines("strict_npm.mjs", settings)
    answer = program.tell({"callback": visit(bridge, program.answer["open"])})
    program.close()
    return answer["checks"]


def pypi(bridge, settings):
    """Authlib: what it checked."""
    flow = strict_pypi.Flow(settings)
    flow.begin()
    flow.finish(visit(bridge, flow.url))
    return flow.checks


def run():
    """Each library with each authentication."""
    with report.check("strict: the bridge starts"):
        bridge, known = started()
    for name, play in (("oauth4webapi", npm), ("Authlib", pypi)):
        for authentication in AUTHENTICATIONS:
            settings = {"mcp_url": bridge.url, "redirect_uri": REDIRECT_URI, "authentication": authentication, "client": known.get(authentication)}
            # A public client cannot prove itself, which RFC 7662 §2.1 asks for.
            settings["introspects"] = authentication != "none"
            with report.check(f"{name}, {authentication}: the whole flow"):
                checks = play(bridge, settings)
            for check in checks:
                report.ok(f"{name}, {authentication}: {check}")
    with report.check("strict: the bridge ends"):
        report.equal(bridge.stop(), 0, "exit code")


if __name__ == "__main__":
    report.main(run)
