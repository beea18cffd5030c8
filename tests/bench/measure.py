"""How everything is measured: which core, which numbers, the load tool, and how figures are written."""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "e2e"))

import report  # noqa: E402: the end-to-end scripts know how to wait and how to fail

SMOKE = "--smoke" in sys.argv
ROUNDS = int(os.environ.get("ROUNDS", "1" if SMOKE else "3"))
SECONDS_EACH = float(os.environ.get("SECONDS_EACH", "0.5" if SMOKE else "3"))
BUILT = ROOT / "target/bench/release"
MEASURED, OTHERS = (0, 1) if (os.cpu_count() or 1) > 1 else (0, 0)

results = []
aims = []


def prepare():
    """Everything that is not measured runs on one core, and may open as many files as there may be."""
    os.sched_setaffinity(0, {OTHERS})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


@contextlib.contextmanager
def core(number):
    """What is started in here runs on that core, and so do its children: a program sees one core, as on a small machine."""
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, {OTHERS})


def load(mode, *options):
    """Runs the load tool and reads its line."""
    done = subprocess.run([BUILT / "mcp-load", mode, *map(str, options)], capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise report.Failure(f"mcp-load {mode} {' '.join(map(str, options))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def keep(what, **row):
    """Keeps a raw figure, with what else went on on the machine."""
    results.append({"what": what, "load1": os.getloadavg()[0], **row})
    return results[-1]


def rows(what, **wanted):
    """The raw figures of a kind, of all rounds."""
    return [row for row in results if row["what"] == what and all(row[name] == value for name, value in wanted.items())]


def median(values):
    """The median, or nothing where nothing was measured."""
    return statistics.median(values) if values else None


def spread(values, digits=0):
    """Median [lowest–highest]."""
    if not values:
        return "–"
    text = f"{statistics.median(values):,.{digits}f}"
    return text if len(values) == 1 else f"{text} [{min(values):,.{digits}f}–{max(values):,.{digits}f}]"


def ratio(value, base):
    """A ratio, or a dash where the base was too small to be measured."""
    return f"{value / base:.2f}" if base and value is not None else "–"


def table(*columns):
    """The head of a table."""
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def line(*cells):
    """A line of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def aim(figure, most, came, unit="", least=False):
    """Judges a figure: `most` is the highest that meets the aim, or the least where `least`. Without `came` it was not measured."""
    text = f"{'≥' if least else '≤'} {most:,g}{unit}"
    if came is None:
        aims.append((figure, text, "–", "not measured"))
        return
    is_met = came >= most if least else came <= most
    aims.append((figure, text, f"{came:,.{0 if came >= 100 else 2}f}{unit}", "met" if is_met else "MISSED"))


def summary():
    """Every aim of the issue beside what came."""
    print("\n## Aims\n")
    table("figure", "aim", "came", "")
    for entry in aims:
        line(*entry)
