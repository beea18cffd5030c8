"""Large and streamed answers: what they cost, how much of them is held, and what a client that reads slowly does to that."""

from measure import ROUNDS, SECONDS_EACH, SMOKE, aim, keep, line, median, rows, spread, table
from ways import Ways

AT_ONCE = 4 if SMOKE else 16
CALLS = 2 if SMOKE else 20
MIB = 1024 * 1024
EVENTS, FILLING = 1000, 16 * 1024
# What a call may hold at most, in MiB. An answer of an HTTP server passes in parts of 16 KiB: two in the bridge, four as actix writes
# them, three in hyper; half a MiB is the kernel's, which is not counted. One of a child is held whole while its client reads slowly
# (its pipe is for all), but one after the other comes out of the pipe. Of a stream that was read 128 KiB a session are kept beside the
# newest, and of one that is read slowly 1 MiB waits and 1 MiB is kept for its return (`bridge/streams.rs`, `bridge/mailbox`).
PASSING, FROM_CHILD, HELD, READ, WAITING = 0.25, 0.5, 1.25, 0.5, 2

SLOW_STREAM = f"a stream of {EVENTS * FILLING // MIB} MiB, read slowly"
KINDS = {
    "1 MiB result": ["--tool", "large", "--arguments", f'{{"bytes":{MIB}}}', "--least-bytes", MIB, "--expect", "isError", "--count", CALLS],
    "100 progress events": [
        "--tool", "progress", "--arguments", '{"events":100}', "--progress", "--least-bytes", 10_000, "--expect", "done", "--count", CALLS * 5,
    ],
    "a stream that goes on, 100 events in 5 s": [
        "--tool", "progress", "--arguments", f'{{"events":100,"delay_ms":{5 if SMOKE else 50}}}', "--progress",
        "--least-bytes", 10_000, "--expect", "done", "--count", 1,
    ],
    "1 MiB result, read slowly": [
        "--tool", "large", "--arguments", f'{{"bytes":{MIB}}}', "--least-bytes", MIB, "--expect", "isError", "--slow", "--count", 1,
    ],
    SLOW_STREAM: [
        "--tool", "progress", "--arguments", f'{{"events":{EVENTS},"bytes":{FILLING}}}', "--progress",
        "--expect", "done", "--slow", "--seconds", SECONDS_EACH,
    ],
}


def run():
    """Fresh processes for each figure: memory that was used once stays with a process."""
    print(f"\n## Large and streamed answers, {AT_ONCE} at once\n")
    table("answer", "way", "CPU µs per call", "peak memory more, MiB", "shortest answer, KiB")
    for kind, options in KINDS.items():
        for number in range(ROUNDS):
            for name in ("nginx", "bridge to HTTP", "bridge to stdio"):
                with Ways() as ways:
                    way = _way(ways, name)
                    way.calls("--connections", AT_ONCE, "--seconds", 0.3)
                    row = way.load("calls", "--connections", AT_ONCE, "--warm-up", 0, *options)
                    keep("large", kind=kind, name=name, round=number, cpu=way.cpu(row), **row)
        for name in ("nginx", "bridge to HTTP", "bridge to stdio"):
            found = rows("large", kind=kind, name=name)
            cpu = [row["cpu"] for row in found if row["calls"]]
            growth = [row["peak_growth_kib"] / 1024 for row in found]
            # nginx works in a child, whose peak is not taken; a call that has not ended has no cost of its own.
            line(kind, name, spread(cpu) if cpu else "", "" if name == "nginx" else spread(growth, 1), f"{min(row['least_bytes'] for row in found) // 1024:,}")
    _judge()


def _way(ways, name):
    if name == "bridge to stdio":
        return ways.bridge_to_stdio()
    upstream, _ = ways.echo()
    return ways.nginx(upstream) if name == "nginx" else ways.bridge_to_http(upstream)


def _judge():
    most_of_http, most_of_stdio = (PASSING, READ, READ, PASSING, WAITING), (FROM_CHILD, READ, READ, HELD, WAITING)
    for kind, *most in zip(KINDS, most_of_http, most_of_stdio):
        for name, each in zip(("bridge to HTTP", "bridge to stdio"), most):
            growth = median([row["peak_growth_kib"] / 1024 for row in rows("large", kind=kind, name=name)])
            aim(f"{AT_ONCE} × {kind}, {name}: memory more", AT_ONCE * each, growth, " MiB")
    # A child is not stopped for one of its callers: there the oldest reports of progress make room.
    found = rows("large", kind=SLOW_STREAM, name="bridge to HTTP")
    arrived = min(row["least_bytes"] for row in found) / (EVENTS * FILLING) * 100
    aim("of a stream from HTTP that is read slowly arrives, at least", 100, arrived, " %", least=True)
