"""What was done and what went wrong: counts by kind, statuses by code, and every violation with its moment."""

import contextlib
import http.client
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict

import report

SHOWN = 40  # violations printed in full; the rest is counted


class CleanFailure(Exception):
    """A call that was answered with an error where one was to be expected (its upstream is made to fail)."""


class Stopped(Exception):
    """The soak is over; what was under way does not matter."""


class Ledger:
    """Shared by all threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.started = time.monotonic()
        self.done = defaultdict(Counter)
        self.statuses = defaultdict(Counter)
        self.reasons = Counter()
        self.slowest = defaultdict(float)
        self.violations = []

    def elapsed(self):
        """Seconds since the start."""
        return time.monotonic() - self.started

    def count(self, kind, outcome="ok"):
        """Counts something done."""
        with self.lock:
            self.done[kind][outcome] += 1

    def status(self, kind, code):
        """Counts an HTTP status."""
        with self.lock:
            self.statuses[code][kind] += 1

    def violate(self, who, what, text):
        """Notes a violation, and prints it at once: a long run is not to be waited for."""
        line = f"at {self.elapsed():.1f} s, {who}, {what}: {text}"
        with self.lock:
            self.violations.append(line)
            number = len(self.violations)
        if number <= SHOWN:
            print(f"VIOLATION {line}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def doing(self, kind, who):
        """One action: counted by how it ended; what should not have happened is a violation. Gives a list that is empty unless it held."""
        started, held = time.monotonic(), []
        try:
            yield held
        except Stopped:
            return
        except CleanFailure as failure:
            self.count(kind, "failed cleanly")
            with self.lock:
                self.reasons[f"{kind}: {str(failure)[:150]}"] += 1
        except report.Failure as failure:
            self._failed(kind, who, str(failure))
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, IndexError) as error:
            self._failed(kind, who, f"{error!r}\n" + "".join(traceback.format_exception(error)[-3:]).rstrip())
        else:
            held.append(True)
            self.count(kind)
            with self.lock:
                self.slowest[kind] = max(self.slowest[kind], time.monotonic() - started)

    def _failed(self, kind, who, text):
        if self.stop.is_set():
            return
        self.count(kind, "VIOLATION")
        self.violate(who, kind, text)
