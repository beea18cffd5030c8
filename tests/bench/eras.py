"""Stateless calls beside those of sessions, in short turns: what a core's speed does from second to second falls on all of them alike.

What a process is lucky with, as which of its pages share a place in the cache, is as much as what is looked for. So all of them are
started anew several times, each time in another order, and take their turns in all orders. Two bridges do the same, with sessions:
what they differ by is what the machine differs by, and no difference below it means anything.
"""

import itertools
import os
import random
import statistics
from math import exp, log

from measure import SMOKE, aim, keep, line, median, rows, table
from ways import Way, Ways

# Those of the harness that the aims were set with.
CONNECTIONS = [int(number) for number in os.environ.get("CONNECTIONS", "4" if SMOKE else "1,16,64").split(",")]
STARTS = int(os.environ.get("STARTS", "1" if SMOKE else "12"))
SECONDS = 0.35
ERAS = ("sessions", "sessions again", "stateless")


def run():
    """Turns of each way, in every order, of each start."""
    print("\n## Eras\n")
    for start in range(STARTS):
        _start(start)
    _print()


def _start(start):
    orders = random.sample([*itertools.permutations(ERAS)], 2 if SMOKE else 6)
    with Ways() as ways:
        upstream, _ = ways.echo()
        other, _ = ways.echo("--era", "stateless")
        found = {}
        for name in random.sample(ERAS, len(ERAS)):
            way = ways.bridge_to_http(other if name == "stateless" else upstream, name=name)
            era = "stateless" if name == "stateless" else "sessions"
            found[name] = Way(way.name, way.url, way.pid, way.token_file, era=era)
        for connections in CONNECTIONS:
            # What a process does for the first time is not measured.
            for turn, order in enumerate([orders[0], *orders]):
                for name in order:
                    row = found[name].calls("--connections", connections, "--seconds", SECONDS, "--warm-up", 0.15)
                    if turn > 0:
                        keep("eras", way=name, start=start, begun=[*found].index(name), turn=turn, cpu=found[name].cpu(row), **row)


def _print():
    table("connections", *(f"{name}, CPU µs" for name in ERAS), "again ÷ sessions", "stateless ÷ both")
    for connections in CONNECTIONS:
        cpu = {name: [[row["cpu"] for row in rows("eras", way=name, connections=connections, start=start)] for start in range(STARTS)] for name in ERAS}
        # Of each start the mean, as a logarithm: a ratio and its inverse are as far from 1.
        sessions, again, stateless = ([statistics.mean(map(log, turns)) for turns in cpu[name]] for name in ERAS)
        control = _mean([two - one for one, two in zip(sessions, again, strict=True)])
        came = _mean([three - (one + two) / 2 for one, two, three in zip(sessions, again, stateless, strict=True)])
        line(connections, *(f"{median(sum(each, [])):.2f}" for each in cpu.values()), *(f"{mean:.4f} ± {error:.4f}" if STARTS > 1 else f"{mean:.3f}" for mean, error in (control, came)))
        aim(f"stateless ÷ sessions at {connections} connections, CPU, less its standard error", 1, came[0] - came[1])
    print(f"\nOf each start the mean of six turns; the mean of {STARTS} starts, ± its standard error.")


def _mean(logarithms):
    """The mean, as a ratio, and its standard error."""
    error = statistics.stdev(logarithms) / len(logarithms) ** 0.5 if len(logarithms) > 1 else 0
    return exp(statistics.mean(logarithms)), error
