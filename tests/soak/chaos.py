"""What happens to the bridge from outside: its fragile child is killed, its keeper too, and signals come that ask for what is not built."""

import os
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


def hang_up(soak):
    """SIGHUP: must be survived."""
    soak.bridge.process.send_signal(signal.SIGHUP)
    soak.rest(1)
    status, _, body = soak.bridge.get("/readyz")
    report.equal(status, 200, f"/readyz after SIGHUP ({body!r})")


def chaos_life(soak, rng, pause):
    """One blow after the other."""
    while not soak.ledger.stop.is_set():
        soak.rest(rng.expovariate(1 / pause))
        if soak.ledger.stop.is_set():
            return
        if rng.random() < 0.7:
            with soak.ledger.doing("kill -9", "chaos"):
                kill_child(soak, rng)
        else:
            with soak.ledger.doing("SIGHUP", "chaos"):
                hang_up(soak)
