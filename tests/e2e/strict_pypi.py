"""Authlib as a client of the bridge, with its own validators of metadata (RFC 8414, 9207) and access tokens (RFC 9068). See strict.py."""

import os
import urllib.parse

# Loopback has no TLS; nothing else is relaxed. Read when Authlib looks at an address.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests  # noqa: E402
from authlib.integrations.base_client import OAuthError  # noqa: E402
from authlib.integrations.requests_client import OAuth2Session  # noqa: E402
from authlib.oauth2 import rfc8414, rfc9207  # noqa: E402
from authlib.oauth2.rfc6750 import InvalidTokenError  # noqa: E402
from authlib.oauth2.rfc7523 import PrivateKeyJWT  # noqa: E402
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator  # noqa: E402
from joserfc.jwk import ECKey, KeySet  # noqa: E402

import report  # noqa: E402

METHODS = {"none": "none", "basic": "client_secret_basic", "post": "client_secret_post", "private_key_jwt": "private_key_jwt"}


def json_of(url):
    """A document."""
    answer = requests.get(url, timeout=10)
    report.equal((answer.status_code, answer.headers["Content-Type"]), (200, "application/json"), f"status and type of {url}")
    return answer.json()


class Validator(JWTBearerTokenValidator):
    """What Authlib demands of an access token at a resource, with the published keys."""

    def __init__(self, metadata, resource):
        super().__init__(issuer=metadata["issuer"], resource_server=resource)
        self.keys = metadata["jwks_uri"]

    def get_jwks(self):
        """The keys."""
        return KeySet.import_key_set(json_of(self.keys))


class Flow:
    """One client, from the address of the resource to a revoked token."""

    def __init__(self, settings):
        self.settings, self.checks = settings, []

    def holds(self, condition, what):
        """Demands a condition, and notes it."""
        report.true(condition, f"does not hold: {what}")
        self.checks.append(what)

    def begin(self):
        """Discovery, the client, and the address that the person opens."""
        parts = urllib.parse.urlsplit(self.settings["mcp_url"])
        resource = json_of(f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}")
        issuer = resource["authorization_servers"][0]
        self.metadata = rfc8414.AuthorizationServerMetadata(json_of(f"{issuer}/.well-known/oauth-authorization-server"))
        self.metadata.validate([rfc9207.AuthorizationServerMetadata])
        self.holds(self.metadata["issuer"] == issuer, "RFC 8414, 9207: the metadata, every member")
        self.session = self._session()
        self.verifier = "strict-" * 9
        self.url, self.state = self.session.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier=self.verifier, resource=self.settings["mcp_url"],
        )

    def _session(self):
        client, method = self.settings["client"] or self._registered(), METHODS[self.settings["authentication"]]
        secret = ECKey.import_key(client["jwk"]) if "jwk" in client else client.get("client_secret")
        session = OAuth2Session(
            client["client_id"], secret, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method,
            redirect_uri=self.settings["redirect_uri"], code_challenge_method="S256",
        )
        if method == "private_key_jwt":
            session.register_client_auth_method(PrivateKeyJWT(self.metadata["token_endpoint"], headers={"kid": secret.kid}, alg="ES256"))
        return session

    def _registered(self):
        body = {"client_name": "Authlib", "redirect_uris": [self.settings["redirect_uri"]], "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"]}
        answer = requests.post(self.metadata["registration_endpoint"], json=body, timeout=10)
        self.holds(answer.status_code == 201, "RFC 7591: registration")
        return answer.json()

    def finish(self, callback):
        """The answer of the person's browser, and everything after it."""
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(callback).query))
        self.holds(query["iss"] == self.metadata["issuer"], "RFC 9207: iss of the answer")
        redeem = {"authorization_response": callback, "state": self.state, "code_verifier": self.verifier, "resource": self.settings["mcp_url"]}
        tokens = dict(self.session.fetch_token(self.metadata["token_endpoint"], **redeem))
        self.holds(tokens["token_type"] == "Bearer", "RFC 6749: the token response")
        self._access_token(tokens["access_token"])
        if self.settings["introspects"]:
            self._introspection(tokens)
        fresh = dict(self._refresh(tokens["refresh_token"]))
        self.holds(fresh["refresh_token"] != tokens["refresh_token"] and self._opens(fresh["access_token"]), "OAuth 2.1 §4.3: refresh, with rotation")
        answer = self.session.revoke_token(self.metadata["revocation_endpoint"], fresh["refresh_token"], "refresh_token")
        self.holds(answer.status_code == 200, "RFC 7009: revocation")
        self._fails(lambda: self._refresh(fresh["refresh_token"]), "RFC 7009: a revoked refresh token is invalid_grant")
        self.holds(not self._opens(fresh["access_token"]), "RFC 7009: its access token is refused")
        if self.settings["introspects"]:
            self.holds(not self._introspect(fresh["access_token"])["active"], "RFC 7662: a revoked token is not active")
        self._fails(lambda: self.session.fetch_token(self.metadata["token_endpoint"], **redeem), "OAuth 2.1 §4.1.3: a code is good once")

    def _refresh(self, token):
        return self.session.refresh_token(self.metadata["token_endpoint"], token, resource=self.settings["mcp_url"])

    def _fails(self, request, what):
        try:
            request()
        except OAuthError as error:
            report.equal(error.error, "invalid_grant", what)
            self.checks.append(what)
            return
        raise report.Failure(f"does not hold: {what}")

    def _access_token(self, token):
        """RFC 9068 §4, and that another resource would refuse it."""
        for resource, is_ours in ((self.settings["mcp_url"], True), ("https://other.example/mcp", False)):
            validator = Validator(self.metadata, resource)
            try:
                validator.validate_token(validator.authenticate_token(token), [], None)
                is_taken = True
            except InvalidTokenError:
                is_taken = False
            self.holds(is_taken == is_ours, f"RFC 9068: the access token is {'taken here' if is_ours else 'not taken elsewhere'}, by the published keys")
        self.holds(self._opens(token), "RFC 6750: it opens the resource")

    def _opens(self, token):
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize",
                "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "strict", "version": "1"}}}
        answer = requests.post(self.settings["mcp_url"], json=body, headers=headers, timeout=10)
        report.true(answer.status_code in (200, 401), f"expected 200 or 401 from the resource, came {answer.status_code} {answer.text[:200]}")
        return answer.status_code == 200

    def _introspect(self, token):
        answer = self.session.introspect_token(self.metadata["introspection_endpoint"], token)
        report.equal(answer.status_code, 200, f"status of the introspection ({answer.text[:200]})")
        return answer.json()

    def _introspection(self, tokens):
        said = self._introspect(tokens["access_token"])
        self.holds(said["active"] and said["client_id"] == self.session.client_id and said["iss"] == self.metadata["issuer"], "RFC 7662: an access token is active")
        self.holds(self._introspect(tokens["refresh_token"])["active"], "RFC 7662: a refresh token is active")
        self.holds(not self._introspect("nothing")["active"], "RFC 7662: what is no token is not")
