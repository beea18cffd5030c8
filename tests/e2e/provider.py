"""The identity provider of provider.mjs: its people, its clients, and what they did.

Started by hand it serves one client at a fixed address, to configure a bridge with by hand: `provider.py [BRIDGE]` (default http://127.0.0.1:8080).
"""

import copy
import secrets
import sys

from bridge import free_port
from lines import Lines

SCOPES = ["openid", "email", "profile", "groups", "offline_access"]
PASSWORD = "correct horse battery staple"
PEOPLE = {
    "ada": {"name": "Ada Lovelace", "email": "ada@example.com", "email_verified": True, "groups": ["writers"]},
    "bob": {"name": "Bob <b>Bold</b>", "email": "bob@example.com", "email_verified": True, "groups": []},
    "eve": {"name": "Eve", "email": "eve@elsewhere.example", "email_verified": True, "groups": ["writers"]},
    "una": {"name": "Una", "email": "una@example.com", "email_verified": False, "groups": ["writers"]},
}


class Provider:
    """One provider. It keeps its address when it is stopped and started again, and forgets everything else, its keys too."""

    def __init__(self, host="127.0.0.1", **settings):
        """`localhost` is another site than the bridge's 127.0.0.1, as a provider on the internet would be; `settings` are those of provider.mjs."""
        self.port = free_port()
        self.issuer = f"http://{host}:{self.port}"
        self.secret = secrets.token_urlsafe(32)
        accounts = {login: {"password": PASSWORD, "sub": f"{login}|{secrets.token_hex(6)}", "claims": claims}
                    for login, claims in copy.deepcopy(PEOPLE).items()}
        self._settings = {"host": host, "port": self.port, "accounts": accounts, "clients": [], **settings}
        self._lines = None

    def register(self, client_id, redirect_uri, authentication="client_secret_basic", **more):
        """A client it will know from its next start on."""
        secret = {} if authentication in ("none", "private_key_jwt") else {"client_secret": self.secret}
        self._settings["clients"].append({
            "client_id": client_id, "redirect_uris": [redirect_uri], "token_endpoint_auth_method": authentication,
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"], **secret, **more,
        })
        return self

    def start(self):
        """Starts it; it answers requests afterwards."""
        self._lines = Lines("provider.mjs", self._settings)
        return self

    def stop(self):
        """Nobody listens any more."""
        self._lines.close()

    def sub(self, login):
        """The person, in the provider's words."""
        return self._settings["accounts"][login]["sub"]

    def user(self, login):
        """The person, in the bridge's words."""
        return f"{self.issuer}#{self.sub(login)}"

    def tell(self, **command):
        """A command of provider.mjs."""
        return self._lines.tell(command)

    def seen(self, *routes):
        """The requests since the last time, those of these routes: authorization, token, userinfo, jwks, discovery, end_session …"""
        return [request for request in self._lines.tell({"seen": True})["seen"] if not routes or request["route"] in routes]


if __name__ == "__main__":
    base = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
    provider = Provider("localhost")
    provider.register("bridge", f"{base}/oauth/callback", post_logout_redirect_uris=[f"{base}/oauth/logout"]).start()
    print(f"upstream_issuer {provider.issuer}", "client_id bridge", f"client_secret {provider.secret}", sep="\n")
    print(f"people {', '.join(PEOPLE)}, password {PASSWORD}")
    input("Enter stops it. ")
    provider.stop()
