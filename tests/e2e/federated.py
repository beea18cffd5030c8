"""Federated login before a real identity provider (oidc-provider, see provider.mjs), with the Python SDK and Chromium.

usage: federated.py [DIRECTORY]   (default target/e2e/pages; pictures of the pages that only federated login has go there)
Run with the Python of tests/.tools/sdk2.
"""

import base64
import hashlib
import secrets
import sys
import types
import urllib.parse
from pathlib import Path

import federated_both
import federated_single
import oauth
import report
import sdk
import steps
from bridge import ROOT
from provider import SCOPES, Provider
from report import check


def provider_alone():
    """The provider does what the rest relies on, without any bridge: what fails after this fails in the bridge."""
    with check("the provider alone: login, consent, code, userinfo, rotation; a removed person's refresh is invalid_grant"):
        provider = Provider("localhost")
        nowhere = types.SimpleNamespace(origin="http://127.0.0.1:1")  # the person never comes to a bridge
        person = steps.Person(nowhere, [provider], javascript=False)
        provider.register("client", person.callback.uri).start()
        metadata = oauth.fetch_json("GET", f"{provider.issuer}/.well-known/openid-configuration", "metadata of the provider")
        verifier = secrets.token_urlsafe(48)
        query = {
            "response_type": "code", "client_id": "client", "redirect_uri": person.callback.uri, "scope": " ".join(SCOPES), "state": "s",
            "nonce": "n", "prompt": "consent", "code_challenge_method": "S256",
            "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
        }
        pages = person.go(url=f"{metadata['authorization_endpoint']}?{urllib.parse.urlencode(query)}")
        report.equal(pages, ["provider login", "provider consent"], "pages seen by the person")
        answer = person.client_answer()
        report.equal((answer["state"], answer["iss"]), ("s", provider.issuer), "state and iss")
        person.close()

        def token(status=200, **fields):
            credentials = base64.b64encode(f"client:{provider.secret}".encode()).decode()
            headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/x-www-form-urlencoded"}
            return oauth.fetch_json("POST", metadata["token_endpoint"], "token request", headers, urllib.parse.urlencode(fields), status)

        first = token(grant_type="authorization_code", code=answer["code"], redirect_uri=query["redirect_uri"], code_verifier=verifier)
        told = oauth.fetch_json("GET", metadata["userinfo_endpoint"], "userinfo", {"Authorization": f"Bearer {first['access_token']}"})
        report.equal((told["sub"], told["email"], told["groups"]), (provider.sub("ada"), "ada@example.com", ["writers"]), "userinfo")
        second = token(grant_type="refresh_token", refresh_token=first["refresh_token"])
        report.true(second["refresh_token"] != first["refresh_token"], "expected another refresh token: they rotate")
        provider.tell(remove="ada")
        gone = token(400, grant_type="refresh_token", refresh_token=second["refresh_token"])
        report.equal(gone["error"], "invalid_grant", "refresh of a removed person")
        report.equal([request["authentication"] for request in provider.seen("token")], ["basic"] * 3, "what the provider noted")
        provider.stop()


def run():
    """The provider alone, then one provider, then two beside a password form."""
    sdk.require("mcp", "2.3.0")
    sdk.quiet()
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target/e2e/pages"
    provider_alone()
    federated_single.run()
    federated_both.run(directory)


if __name__ == "__main__":
    report.main(run)
