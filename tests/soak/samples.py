"""What the bridge's process holds, sampled: memory, threads, descriptors by kind, descendants, zombies, connections."""

import os
import statistics
from collections import Counter
from pathlib import Path

from bridge import command_line

MIB = 1024.0  # the system counts memory in KiB


def sample(bridge, at):
    """One sample."""
    pid = bridge.process.pid
    memory = {line.split(":")[0]: int(line.split()[1]) / MIB for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]}
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    kinds = descriptors(pid)
    kept = sum(connections(port, 2) for port in bridge.behind)
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return {
        "at": at, "rss": memory["Rss"], "pss": memory["Pss"], "anonymous": memory["Anonymous"], "threads": int(status["Threads"]),
        "calls": threads_of_child("soak-steady", bridge),
        # Connections that the pool keeps to the servers behind are counted apart: they end by themselves after a while.
        "descriptors": sum(kinds.values()) - kept, "kinds": kinds, "children": len(bridge.descendants()), "zombies": zombies(pid),
        "cpu": (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),
        "connections": connections(bridge.port, 1), "kept": kept,
    }


def descriptors(pid):
    """The open descriptors, counted by kind."""
    kinds = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        kinds[target.split(":")[0] if not target.startswith("/") else "file"] += 1
    return kinds


def zombies(ancestor):
    """How many dead children of the bridge nobody waited for."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        count += fields[0] == "Z" and int(fields[1]) == ancestor
    return count


def connections(port, end):
    """Established TCP connections whose own (1) or other (2) end is this port: a server's clients, or those that keep one to it."""
    wanted, count = f":{port:04X}", 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        count += fields[end].endswith(wanted) and fields[3] == "01"
    return count


def threads_of_child(marker, bridge):
    """The threads of a child: fake_mcp_server.py has one for every call that still runs."""
    for pid in bridge.descendants():
        command = command_line(pid)
        if marker in command and not command.startswith("mcp-keeper"):
            return len(os.listdir(f"/proc/{pid}/task"))
    return 0


def commands(bridge):
    """The command lines of all descendants, each with how often it runs."""
    return Counter(command_line(pid) for pid in bridge.descendants())


def slope(samples, key, buckets=12):
    """MiB per hour: the median of the slopes between the lows of time buckets (Theil and Sen); answers in flight do not count."""
    if len(samples) < 2 * buckets:
        buckets = max(3, len(samples) // 2)
    start, width = samples[0]["at"], (samples[-1]["at"] - samples[0]["at"]) / buckets or 1
    lows = {}
    for one in samples:
        bucket = min(int((one["at"] - start) / width), buckets - 1)
        if bucket not in lows or one[key] < lows[bucket][key]:
            lows[bucket] = one
    points = [(one["at"], one[key]) for one in lows.values()]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(points) for b in points[i + 1:] if b[0] != a[0]]
    return statistics.median(slopes) * 3600 if slopes else 0.0


def table(samples, most=30):
    """The samples for people, evenly thinned out."""
    step = max(1, len(samples) // most)
    rows = [f"{'seconds':>8} {'RSS':>7} {'PSS':>7} {'anon':>7} {'threads':>7} {'fds':>5} {'children':>8} {'zombies':>7} {'clients':>7} {'kept':>5} {'calls':>5} {'CPU s':>7}"]
    for one in samples[::step] + ([samples[-1]] if (len(samples) - 1) % step else []):
        rows.append(
            f"{one['at']:8.0f} {one['rss']:7.1f} {one['pss']:7.1f} {one['anonymous']:7.1f} {one['threads']:7d} {one['descriptors']:5d} "
            f"{one['children']:8d} {one['zombies']:7d} {one['connections']:7d} {one['kept']:5d} {one['calls']:5d} {one['cpu']:7.1f}"
        )
    return "\n".join(rows)
