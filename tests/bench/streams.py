"""Sessions that do nothing but keep a stream open: memory each, processor time of all, beside nginx with the same streams."""

from measure import ROUNDS, SMOKE, aim, keep, line, median, rows, spread, table
from ways import Ways

COUNTS = (50, 200) if SMOKE else (1_000, 10_000)
QUIET = 1 if SMOKE else 5
# Long enough for each stream to be sent a comment, which keeps it open (`sse_keepalive_interval`).
WITH_COMMENTS = 1 if SMOKE else 35
UNBOUNDED = "max_connections: 30000\nsession: {max_sessions: 0, max_per_principal: 0}\n"


def run(most_files):
    """Fresh processes each time: what one measurement leaves behind must not be what the next one finds."""
    print("\n## Idle sessions with an open stream\n")
    for number in range(ROUNDS):
        for count in COUNTS:
            for name in ("nginx", "bridge"):
                # nginx needs two files for each stream, and a process may have only so many.
                streams = min(count, most_files // 2 - 100) if name == "nginx" else count
                with Ways() as ways:
                    upstream, _ = ways.echo()
                    way = ways.nginx(upstream) if name == "nginx" else ways.bridge_to_http(upstream, server=UNBOUNDED)
                    # What the first sessions cost a process is not what each one more costs.
                    way.calls("--connections", 16, "--seconds", 0.5)
                    hold = WITH_COMMENTS if number == 0 and name == "bridge" else QUIET
                    keep("streams", name=name, count=count, round=number, **way.load("streams", "--count", streams, "--hold", hold))
    table("way", "streams", "resident KiB each", "proportional KiB each", "idle CPU, % of a core")
    for count in COUNTS:
        for name in ("nginx", "bridge"):
            found = rows("streams", name=name, count=count)
            side = "with_children" if name == "nginx" else "alone"

            def each(what):
                return [row[what][side] for row in found]

            line(
                name, f"{found[0]['open']:,}", spread(each("rss_kib_each"), 1), spread(each("pss_kib_each"), 1),
                spread(each("idle_cpu_percent"), 2),
            )
            if name == "bridge":
                aim(f"{count:,} idle sessions with a stream, memory each", 20, median(each("rss_kib_each")), " KiB")
                aim(f"{count:,} idle sessions with a stream, CPU", 1, max(each("idle_cpu_percent")), " % of a core")
