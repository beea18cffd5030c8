"""How every end-to-end script reports: one line a check, and on failure what was expected, what came, and the bridge's log."""

import contextlib
import os
import sys
import time
import traceback

passed = 0
failed = 0
_logs = []


class Failure(AssertionError):
    """A check that did not hold. Its text says what was expected and what came."""


def watch_log(describe, path):
    """Names a log whose end is shown with every failure: `describe` says whose it is."""
    _logs.append((describe, path))


def tail(path, lines=60):
    """The last lines of a file, for people."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])
    except OSError as error:
        return f"(cannot be read: {error})\n"


def equal(got, expected, what):
    """Demands that two values are equal."""
    if got != expected:
        raise Failure(f"{what}: expected {expected!r}, came {got!r}")


def contains(got, expected, what):
    """Demands that `expected` is a part of `got`."""
    if expected not in got:
        raise Failure(f"{what}: expected {expected!r} in it, came {got!r}")


def true(condition, what):
    """Demands a condition; `what` says what was expected and what came."""
    if not condition:
        raise Failure(what)


def until(condition, seconds, what, every=0.02):
    """Polls a condition until it is truthy and answers its value; `what` says what was waited for (a string, or a function)."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s for {what() if callable(what) else what}, in vain")
        time.sleep(every)


def _line(text):
    print(text, flush=True)


@contextlib.contextmanager
def check(name):
    """One check. What goes wrong inside is printed and counted, and ends the script: later checks build on it."""
    started = time.monotonic()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        fail(name, error)
        raise SystemExit(finish()) from None
    ok(f"{name} ({time.monotonic() - started:.1f} s)")


def ok(name):
    """Counts and prints one check that held."""
    global passed
    passed += 1
    _line(f"ok {name}")


def known(name):
    """Prints one check that is known not to hold; it counts neither as passed nor as failed."""
    _line(f"known {name}")


def fail(name, error, logs=True):
    """Counts and prints one failure with everything that helps to understand it; without the logs where many may fail alike."""
    global failed
    failed += 1
    _line(f"FAILED {name}")
    for cause in _causes(error):
        if isinstance(cause, Failure):
            _line(f"  {cause}")
        else:
            _line("  " + "".join(traceback.format_exception(cause)).rstrip().replace("\n", "\n  "))
    for describe, path in _logs if logs else ():
        if not os.path.exists(path):
            continue  # of a bridge that ended well
        _line(f"  --- end of {describe} ({path})")
        _line("  " + tail(path).rstrip().replace("\n", "\n  "))


def _causes(error):
    """The single errors of an exception group (task groups wrap what goes wrong in them)."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in _causes(inner)]
    return [error]


def finish():
    """The exit code, after the counts."""
    _line(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def main(run):
    """Runs a script: its checks, then the summary. An error outside of a check is a failure too."""
    try:
        run()
    except Exception as error:  # noqa: BLE001: the one place where everything ends
        fail("outside of any check", error)
    sys.exit(finish())
