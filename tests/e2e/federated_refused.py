"""Who may not come in, who is in the wrong browser, and who is gone at the provider; and a provider that is gone itself.

Part of federated.py: each function takes the `Single` of federated_single.py.
"""

import report
from bridge import PATIENCE
from oauth import Session, Threads
from report import check
from steps import AT_THE_PROVIDER

DAY = 24 * 3600
TRY_AGAIN = ':is(a,button):has-text("Try again")'


def refused(single):
    """Who may not come in is told so, and the client learns no more than that."""
    for login, why in (("eve", "whose domain is another"), ("una", "whose address is not verified")):
        with check(f"federated: a person {why} gets an error page; Try again is for another account, Back to the app tells it access_denied"):
            person = single.person(login)
            client = single.client(login, person)
            person.go("error", url=client.authorization_url())
            single.expect_error_page(person)
            person.press(TRY_AGAIN)
            report.equal(person.go("error"), ["consent", *AT_THE_PROVIDER], "pages after Try again with the same account")
            person.press(TRY_AGAIN)
            person.go("provider login")
            person.login = "ada"
            report.equal(person.go(), AT_THE_PROVIDER, "pages with another account")
            client.redeem(person.client_answer())
            single.expect_whoami(client, "ada")
            person.login = login
            person.go("error", url=client.authorization_url() + "&prompt=login")
            single.expect_denied(client, person)
            person.expect_no_complaints()
            person.close()
    with check("federated: who cancels at the provider gets an error page; Try again leads to a login, Back to the app to access_denied"):
        person = single.person()
        client = single.client("cancelled", person)
        person.go("provider login", url=client.authorization_url())
        person.press("button[name=answer][value=cancel]")
        single.expect_error_page(person, "pressed Cancel", "<b>")
        person.press(TRY_AGAIN)
        pages = person.go("provider login")
        report.true(pages in ([], ["consent"]), f"expected the provider's login again, at most after our consent, came {pages}")
        report.equal(person.go(), AT_THE_PROVIDER, "pages at the second try")
        client.redeem(person.client_answer())
        single.expect_whoami(client, "ada")
        person.go("provider login", url=client.authorization_url() + "&prompt=login")
        person.press("button[name=answer][value=cancel]")
        single.expect_error_page(person)
        single.expect_denied(client, person)
        person.expect_no_complaints()
        person.close()


def another_browser(single):
    """FED-2: the attacker consents in their own browser and sends the victim the provider's address."""
    with check("federated: a callback in a browser other than the one that consented ends on an error page, and the client gets nothing"):
        attacker, victim = single.person("bob"), single.person("ada")
        client = single.client("attacker", attacker)
        attacker.go_until_sent_to(single.provider.issuer, url=client.authorization_url())
        address = next(link["href"] for link in attacker.view["links"] if link["href"].startswith(single.provider.issuer))
        single.provider.seen()
        victim.go("error", url=address)
        single.expect_error_page(victim)
        report.equal(single.provider.seen("token"), [], "requests at the provider's token endpoint")
        # The attacker's browser goes on as if nothing had happened: the code that comes is for the attacker.
        attacker.press(f'a[href^="{single.provider.issuer}"]')
        report.equal(attacker.go(), AT_THE_PROVIDER, "pages of the attacker")
        client.redeem(attacker.client_answer())
        single.expect_whoami(client, "bob")
        attacker.close()
        victim.close()


def used_again(single):
    """FED-1: what the browser's history holds is worth nothing."""
    with check("federated: a callback address that was used ends on an error page, asks the provider nothing, and takes nothing away"):
        person = single.person()
        client = single.client("used again", person)
        person.go(url=client.authorization_url())
        client.redeem(person.client_answer())
        addresses = person.visited(f"{single.bridge.origin}/oauth/callback")
        report.equal(len(addresses), 1, "visits of the callback")
        single.provider.seen()
        person.step("open", url=addresses[0])
        single.expect_error_page(person)
        report.equal(single.provider.seen(), [], "requests at the provider")
        single.expect_refresh(client, 200)
        single.expect_whoami(client, "ada")
        person.close()


def ended(single):
    """Who is gone at the provider is gone here at the next refresh."""
    with check("federated: a refresh after a minute asks the provider, whose refresh token rotates, again and again"):
        client, _ = single.logged_in("refreshes")
        single.provider.seen()
        for _ in range(3):
            single.later(120)
            single.expect_refresh(client, 200)
        report.equal([(request["grant_type"], request["status"]) for request in single.provider.seen("token")],
                     [("refresh_token", 200)] * 3, "requests at the provider's token endpoint")
        single.expect_whoami(client, "ada")
    with check("federated: eight apps of one person refresh at once: the provider is asked once, and its refresh token outlives it"):
        person = single.person()
        clients = [single.client(f"at once {number}", person) for number in range(8)]
        for client in clients:
            person.go(url=client.authorization_url())
            client.redeem(person.client_answer())
        person.close()
        for _ in range(2):
            single.later(120)
            single.provider.seen()
            threads = Threads()
            for client in clients:
                threads.start(single.expect_refresh, client, 200)
            threads.join(PATIENCE)
            report.equal([request["status"] for request in single.provider.seen("token")], [200], "requests at the provider's token endpoint")
    ways = (
        ("was removed at the provider", {"remove": "ada"}, {"restore": "ada"}),
        ("has no grant at the provider any more", {"revoke": "ada"}, None),
        ("has an address of another domain now", {"claims": "ada", "set": {"email": "ada@elsewhere.example"}},
         {"claims": "ada", "set": {"email": "ada@example.com"}}),
    )
    for what, command, undo in ways:
        with check(f"federated: a person who {what}: invalid_grant, the access token ends too, and a new login works when it may"):
            client, _ = single.logged_in(what)
            single.provider.tell(**command)
            single.later(120)
            single.expect_refresh(client, 400, "invalid_grant")
            report.until(lambda: Session(client).post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})[0] == 401, 2, "401 for the access token")
            if undo:
                single.provider.tell(**undo)
            single.expect_refresh(client, 400, "invalid_grant")
            client, _ = single.logged_in(f"{what}, again")
            single.expect_whoami(client, "ada")


def unreachable(single):
    """The provider is down for a while, and comes back with other keys."""
    with check("federated: with the provider down a refresh works for the re-authentication interval, then it is 503"):
        client, _ = single.logged_in("provider down")
        single.provider.stop()
        single.later(120)
        single.expect_refresh(client, 200)
        single.later(8 * DAY)
        single.expect_refresh(client, 503, "temporarily_unavailable")
    with check("federated: the provider is back with other keys and without its grants: invalid_grant, and a new login works"):
        single.provider.start()
        single.expect_refresh(client, 400, "invalid_grant")
        client, _ = single.logged_in("provider back")
        single.expect_whoami(client, "ada")
    with check("federated: the bridge starts without the provider, refreshes go on, a login is an error page, and Try again works when it is back"):
        client, _ = single.logged_in("start without provider")
        report.equal(single.bridge.stop(), 0, "exit code after SIGTERM")
        single.provider.stop()
        single.bridge.start()
        single.later(120)
        single.expect_refresh(client, 200)
        person = single.person()
        waiting = single.client("waits for the provider", person)
        person.go("error", url=waiting.authorization_url())
        single.expect_error_page(person, str(single.provider.port))
        single.provider.start()
        person.press(TRY_AGAIN)
        pages = person.go()
        report.equal(pages[-2:], AT_THE_PROVIDER, f"last pages after Try again, of {pages}")
        waiting.redeem(person.client_answer())
        single.expect_whoami(waiting, "ada")
        person.close()
    with check("federated: a provider that fails when the code is to be redeemed: an error page, and Try again works when it is well"):
        person = single.person()
        client = single.client("ailing", person)
        person.go("provider consent", url=client.authorization_url())
        single.provider.tell(ailing=True)
        person.go("error")
        single.expect_error_page(person, "500", "ailing")
        single.provider.tell(ailing=False)
        person.press(TRY_AGAIN)
        report.equal(person.go(), ["consent", "provider consent"], "pages after Try again: it was not the person's fault, who need not log in there again")
        client.redeem(person.client_answer())
        single.expect_whoami(client, "ada")
        person.expect_no_complaints()
        person.close()
