"""Whether a call costs the same, however many sessions, clients and tools there are."""

from measure import ROUNDS, SECONDS_EACH, SMOKE, aim, keep, line, median, ratio, rows, spread, table
from streams import UNBOUNDED
from ways import Ways

SIZES = (4, 20, 60) if SMOKE else (10, 1_000, 10_000)
CONNECTIONS = SIZES[0]
# What three bridges that are equal differ by, at most, on a busy machine.
FLAT = 1.2
CLIENTS = f"registration: {{max_clients: {2 * SIZES[-1]}}}"


def run():
    """For each kind one bridge a size, all measured in turn."""
    print("\n## Flatness\n")
    table("CPU µs per call with", *(f"{size:,}" for size in SIZES), *(f"{size:,} ÷ {SIZES[0]}" for size in SIZES[1:]))
    for kind in ("sessions", "clients", "tools"):
        with Ways() as ways:
            found = [_way(ways, kind, size) for size in SIZES]
            for number in range(ROUNDS):
                for size, way in zip(SIZES, found):
                    sessions = CONNECTIONS if kind == "tools" else size
                    row = way.calls("--connections", CONNECTIONS, "--sessions", sessions, "--seconds", SECONDS_EACH)
                    keep("flat", kind=kind, size=size, round=number, **row)
        values = [[row["cpu_us"]["alone"] for row in rows("flat", kind=kind, size=size)] for size in SIZES]
        first = median(values[0])
        line(kind, *(spread(each, 1) for each in values), *(ratio(median(each), first) for each in values[1:]))
        for size, each in zip(SIZES[1:], values[1:]):
            aim(f"CPU per call with {size:,} {kind} ÷ with {SIZES[0]}", FLAT, median(each) / first if first else None)


def _way(ways, kind, size):
    upstream, _ = ways.echo("--tools", size if kind == "tools" else 3)
    tokens = size if kind == "clients" else 1
    return ways.bridge_to_http(upstream, server=UNBOUNDED, oauth_server=CLIENTS, tokens=tokens)
