"""Pictures of every page, at phone and desktop width, in light and dark; axe-core and Chromium's own complaints must be empty.

usage: pages.py [DIRECTORY]   (default target/e2e/pages; the pictures are for looking at)
"""

import sys
import urllib.parse
from pathlib import Path

import browser
import report
from bridge import ROOT, Bridge
from oauth import Client
from report import check


def run():
    """Four variants, each with a client of its own, so that each is asked for consent."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target/e2e/pages"
    bridge = Bridge.with_repository_config()
    with check("pages: the bridge starts, four clients register"):
        bridge.start()
        username, password = bridge.first_user()
        callback = browser.Callback()
        clients = [Client(bridge.url, name, callback.uri).discover().register()
                   for name in ("Claude", "Zoë's Über-Agent", "An agent with a rather long name, as some of them have", "Cursor")]
        urls = [client.authorization_url() for client in clients]
        site = Client(bridge.url, "Claude", "https://claude.ai/api/mcp/auth_callback").discover().register()
    with check("pages: an app is connected, which the account's page shows"):
        connected = Client(bridge.url, "Claude Code", callback.uri).discover().register()
        browser.authorize(connected.authorization_url(), username, password)
        connected.redeem(callback.take())
    with check("pages: login, wrong password, consent, returning, error and the account: no violation, nothing out of the window, no complaint of the browser"):
        query = {**dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(urls[0]).query)), "redirect_uri": "https://evil.example/callback"}
        error_url = f"{clients[0].metadata['authorization_endpoint']}?{urllib.parse.urlencode(query)}"
        result = browser.pictures(urls=urls, error_url=error_url, site_url=site.authorization_url(), username=username, password=password, directory=str(directory))
        print(f"  {len(result['pictures'])} pictures in {directory}")
        report.true(not result["problems"], "expected no problem, came:\n    " + "\n    ".join(result["problems"]))
        report.equal(len(result["pictures"]), 48, "pictures")


if __name__ == "__main__":
    report.main(run)
