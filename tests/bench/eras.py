"""Stateless calls beside those of sessions, in short turns: what a core's speed does from second to second falls on all of them alike.

Two bridges do the same, with sessions: what they differ by is what the machine differs by, and no difference below it means anything.
"""

from measure import SMOKE, aim, keep, line, median, rows, table
from ways import Way, Ways

CONNECTIONS = (4,) if SMOKE else (8, 16, 64)
TURNS = 2 if SMOKE else 40
SECONDS = 0.35


def run():
    """Turns of each way, there and back."""
    print("\n## Eras\n")
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
                    keep("eras", way=way.name, turn=number, cpu=way.cpu(row), **row)
    _print()


def _print():
    table("connections", "sessions, CPU µs", "again", "stateless", "again ÷ sessions", "stateless ÷ sessions", "stateless ÷ again")
    for connections in CONNECTIONS:
        cpu = {name: [row["cpu"] for row in rows("eras", way=name, connections=connections)] for name in ("sessions", "sessions again", "stateless")}

        def paired(name, base):
            return median([one / other for one, other in zip(cpu[name], cpu[base], strict=True)])

        control = paired("sessions again", "sessions")
        first, second = paired("stateless", "sessions"), paired("stateless", "sessions again")
        line(connections, *(f"{median(each):.2f}" for each in cpu.values()), *(f"{each:.3f}" for each in (control, first, second)))
        # Each of the two it is compared with is off by half of what they differ by.
        aim(f"stateless ÷ sessions at {connections} connections, CPU, mean of both", round(1 + abs(control - 1), 3), (first + second) / 2)
    print("\nMedians of pairs: each turn of one way with the turn of the other beside it.")
