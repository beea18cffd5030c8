"""Stateless calls beside those of sessions, in short turns: what a core's speed does from second to second falls on all of them alike.

What a process is lucky with, as which of its pages share a place in the cache, is as much as what is looked for. So all of them are
started anew several times. Two bridges do the same, with sessions: what they differ by is what the machine differs by, and no
difference below it means anything.
"""

import statistics

from measure import SMOKE, aim, keep, line, median, rows, table
from ways import Way, Ways

# Those of the harness that the aims were set with.
CONNECTIONS = (4,) if SMOKE else (1, 16, 64)
STARTS = 1 if SMOKE else 10
TURNS = 2 if SMOKE else 6
SECONDS = 0.35


def run():
    """Turns of each way, there and back, of each start."""
    print("\n## Eras\n")
    for start in range(STARTS):
        _start(start)
    _print()


def _start(start):
    with Ways() as ways:
        upstream, _ = ways.echo()
        other, _ = ways.echo("--era", "stateless")
        found = [ways.bridge_to_http(upstream, name=name) for name in ("sessions", "sessions again")]
        way = ways.bridge_to_http(other, name="stateless")
        found.append(Way(way.name, way.url, way.pid, way.token_file, era="stateless"))
        for connections in CONNECTIONS:
            for number in range(TURNS):
                for way in found if number % 2 else found[::-1]:
                    row = way.calls("--connections", connections, "--seconds", SECONDS, "--warm-up", 0.15)
                    keep("eras", way=way.name, start=start, turn=number, cpu=way.cpu(row), **row)


def _print():
    table("connections", "sessions, CPU µs", "again", "stateless", "again ÷ sessions", "stateless ÷ sessions", "stateless ÷ again")
    for connections in CONNECTIONS:
        cpu = {name: [_cpu(name, connections, start) for start in range(STARTS)] for name in ("sessions", "sessions again", "stateless")}

        def paired(name, base):
            starts = zip(cpu[name], cpu[base], strict=True)
            return [median([one / other for one, other in zip(*start, strict=True)]) for start in starts]

        control = paired("sessions again", "sessions")
        first, second = paired("stateless", "sessions"), paired("stateless", "sessions again")
        line(connections, *(f"{median(sum(each, [])):.2f}" for each in cpu.values()), *map(_mean, (control, first, second)))
        # Each of the two it is compared with is off by half of what they differ by.
        came = statistics.mean(first + second)
        aim(f"stateless ÷ sessions at {connections} connections, CPU, mean of both", round(1 + abs(statistics.mean(control) - 1), 3), came)
    print(f"\nOf each start the median of pairs, each turn of one way with the turn of the other beside it; the mean of {STARTS} starts, ± its standard error.")


def _cpu(name, connections, start):
    return [row["cpu"] for row in rows("eras", way=name, connections=connections, start=start)]


def _mean(values):
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) / len(values) ** 0.5:.3f}"
