"""The lives of clients: which deeds, how often, with what pauses; sessions that are ended, abandoned and begun again."""

import deeds

COMMON = (
    (deeds.short, 40), (deeds.several, 4), (deeds.whoami, 5), (deeds.lists, 4), (deeds.large, 3), (deeds.slow_reader, 1), (deeds.stream, 4), (deeds.official, 5),
    (deeds.question, 5), (deeds.ambiguous_question, 1), (deeds.update, 3), (deeds.vanish, 3), (deeds.cancel, 3), (deeds.refused, 1), (deeds.crash, 0.3),
)


def refresh(client):
    """New tokens before their time; the old access token goes on to work."""
    client.holder.refresh()


def begin_again(client):
    """Ends the session, or leaves it to expire, and begins the next."""
    if client.rng.random() < 0.5:
        client.end()
        client.ledger.count("session ended")
    else:
        client.ledger.count("session abandoned")
    begin(client)


def begin(client):
    """A session with everything that belongs to it."""
    client.initialize()
    client.soak.thread(listener, client, f"{client.name}'s stream")
    deeds.result_of(client.request("resources/subscribe", {"uri": client.watched}), "steady")


def batch(client):
    """2025-03-26 alone: two requests in one."""
    first, second = client.mark(), client.mark()
    messages = [deeds.request_of(client, "steady__echo", arguments) for arguments in (first, second)]
    reply = client.post(messages)
    answers = {}
    for message in reply.messages():
        for answer in message if isinstance(message, list) else [message]:
            if answer:
                answers[answer["id"]] = answer
    reply.read()
    for message, arguments in zip(messages, (first, second)):
        deeds.expect_echo(answers[message["id"]], "steady", arguments)


def listener(client):
    """The stream beside the calls."""
    with client.ledger.doing(f"{client.era} listener", client.name):
        client.listen()


def session_life(client, pause):
    """Of a session client."""
    choices = [*COMMON, (begin_again, 1), (refresh, 1)]
    if client.version == "2025-11-25":
        choices.append((deeds.broken_and_resumed, 2))
    if client.version == "2025-03-26":
        choices.append((batch, 5))
    with client.ledger.doing("begin", client.name):
        begin(client)
    live(client, choices, pause)


def stateless_life(client, pause):
    """Of a stateless client."""
    client.soak.thread(listener, client, f"{client.name}'s stream")
    live(client, [*COMMON, (deeds.patient, 1), (refresh, 1)], pause)


def live(client, choices, pause):
    """Deed after deed, until the end. The first round does each once, so that nothing is new to the bridge afterwards."""
    order = [deed for deed, _ in choices]
    client.rng.shuffle(order)
    weights = [weight for _, weight in choices]
    while not client.ledger.stop.is_set():
        deed = order.pop() if order else client.rng.choices([deed for deed, _ in choices], weights)[0]
        with client.ledger.doing(f"{client.era} {deed.__name__}", client.name) as held:
            deed(client)
        if not held:
            client.line.close()  # whatever is left on it is not for the next
        client.soak.rest(client.rng.expovariate(1 / pause))


def long_life(client, seconds):
    """Of a client that does nothing but follow long streams, one after the other."""
    with client.ledger.doing("begin", client.name):
        client.initialize()
    while client.soak.left() > seconds + 5:
        with client.ledger.doing("long stream", client.name) as held:
            deeds.long_stream(client, seconds)
        if not held:
            return
