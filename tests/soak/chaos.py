"""What happens to the bridge from outside: its fragile child is killed, its keeper too, and its configuration is reloaded, good or bad."""

import os
import re
import signal

import report
from bridge import command_line


def pids_of(soak, *words):
    """The descendants of the bridge whose command line has all these words."""
    return [pid for pid in soak.bridge.descendants() if all(word in command_line(pid) for word in words)]


def kill_child(soak, rng):
    """`kill -9` for the child behind `shaky`, one time in four for its keeper: the child must go with it."""
    marked = [pid for pid in pids_of(soak, "--marker", "soak-shaky")]
    keepers = [pid for pid in marked if command_line(pid).startswith("mcp-keeper")]
    children = [pid for pid in marked if pid not in keepers]
    keeper = rng.random() < 0.25
    victims = keepers if keeper else children
    if not victims:
        return soak.ledger.count("kill -9", "nobody there")
    try:
        os.kill(victims[0], signal.SIGKILL)
    except ProcessLookupError:
        return soak.ledger.count("kill -9", "just gone")
    soak.ledger.count("kill -9 of the keeper" if keeper else "kill -9 of the child")


def variants(text):
    """Configurations that differ in what nobody's call depends on, and one that is wrong."""
    block = re.search(r"^( *)shaky:\n(?:\1 +.*\n)+", text, re.M)[0]
    return {
        "the same": text,
        "other settings": text.replace("sse_keepalive_interval: 2s", "sse_keepalive_interval: 1s"),
        "another upstream": text.replace(block, block + block.replace("shaky", "passing")),
        "another child": text.replace("restart_delay: 100ms", "restart_delay: 101ms"),
        "wrong": text + "\nnonsense: true\n",
    }


def reload(soak, kind, text):
    """Puts a configuration in place and tells the bridge. Whatever becomes of it, the child that nobody harms is the same."""
    told, steady = "the configuration was ", pids_of(soak, "--marker", "soak-steady")
    before = soak.bridge.log.read_text(errors="replace").count(told)
    draft = soak.bridge.config.with_suffix(".new")
    draft.write_text(text)
    draft.replace(soak.bridge.config)
    soak.bridge.process.send_signal(signal.SIGHUP)
    report.until(lambda: soak.bridge.log.read_text(errors="replace").count(told) > before, 20, f"the bridge to say what became of a reload ({kind})")
    outcome = soak.bridge.log.read_text(errors="replace").rpartition(told)[2]
    report.equal(outcome.startswith("not reloaded"), kind == "wrong", f"whether a reload ({kind}) was refused")
    report.equal(pids_of(soak, "--marker", "soak-steady"), steady, f"the processes of an upstream that did not change, after a reload ({kind})")
    status, _, body = soak.bridge.get("/readyz")
    report.equal(status, 200, f"/readyz after a reload ({body!r})")
    soak.ledger.count(f"reload: {kind}")


def chaos_life(soak, rng, pause):
    """One blow after the other, and the configuration of the start in the end."""
    configurations, order = variants(soak.bridge.config.read_text()), []
    while not soak.ledger.stop.is_set():
        soak.rest(rng.expovariate(1 / pause))
        if soak.ledger.stop.is_set():
            break
        if rng.random() < 0.5:
            with soak.ledger.doing("kill -9", "chaos"):
                kill_child(soak, rng)
        else:
            with soak.ledger.doing("reload", "chaos"):
                order = order or rng.sample(list(configurations), len(configurations))
                kind = order.pop()
                reload(soak, kind, configurations[kind])
    with soak.ledger.doing("last reload", "chaos"):
        reload(soak, "the same", configurations["the same"])
