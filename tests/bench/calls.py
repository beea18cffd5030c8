"""Calls: directly, through nginx, mcp-proxy and the bridge, and each era of client before each era of server."""

import report
from measure import ROUNDS, SECONDS_EACH, SMOKE, aim, keep, line, median, ratio, rows, spread, table
from ways import ECHO, MCP_PROXY, Way, Ways

CONNECTIONS = (1, 4) if SMOKE else (1, 16, 64)
AT = CONNECTIONS[1]


def run():
    """All ways in interleaved rounds."""
    print("\n## Calls\n")
    with Ways() as ways:
        found = _ways(ways)
        for number in range(ROUNDS):
            for connections in CONNECTIONS:
                for way in found:
                    row = way.calls("--connections", connections, "--seconds", SECONDS_EACH)
                    keep("calls", way=way.name, round=number, **row)
    _print(found)
    _judge({way.name: way for way in found})


def _ways(ways):
    upstream, _ = ways.echo()
    to_http, to_stdio = ways.bridge_to_http(upstream), ways.bridge_to_stdio(counts="with_children")
    found = [ways.direct(), ways.nginx(upstream)]
    if not MCP_PROXY.exists():
        print("mcp-proxy is left out: it is not built\n")
    else:
        found.append(ways.mcp_proxy("mcp-proxy to HTTP", f'transport = "http"\nurl = "http://127.0.0.1:{upstream}/mcp"'))
        stdio = f'transport = "stdio"\ncommand = "{ECHO}"\nargs = ["--stdio"]'
        found.append(ways.mcp_proxy("mcp-proxy to stdio", stdio))
    found += [to_http, to_stdio, _of_other_era(to_http, "bridge, stateless client")]
    return found + _before_stateless(ways)


def _of_other_era(way, name):
    return Way(name, way.url, way.pid, way.token_file, era="stateless")


def _before_stateless(ways):
    """The bridge before a server of 2026-07-28, if it can speak to one."""
    upstream, _ = ways.echo("--era", "stateless")
    way = ways.bridge_to_http(upstream, name="bridge, stateless server")
    try:
        way.calls("--connections", 1, "--count", 1)
    except report.Failure as failure:
        print(f"servers of 2026-07-28 are left out: the bridge cannot call one yet ({str(failure).rpartition(': ')[2][:200]})\n")
        return []
    return [way, _of_other_era(way, "bridge, stateless both")]


def _values(name, connections, pick):
    return [pick(row) for row in rows("calls", way=name, connections=connections)]


def _print(found):
    table("way", "connections", "calls/s", "p50 ms", "p99 ms", "CPU µs per call", "× direct", "× nginx", "calls/s ÷ nginx")
    for connections in CONNECTIONS:
        cpu = {way.name: median(_values(way.name, connections, way.cpu)) for way in found}
        rate = {way.name: median(_values(way.name, connections, lambda row: row["per_second"])) for way in found}
        for way in found:
            line(
                way.name, connections, spread(_values(way.name, connections, lambda row: row["per_second"])),
                spread(_values(way.name, connections, lambda row: row["p50_us"] / 1000), 2),
                spread(_values(way.name, connections, lambda row: row["p99_us"] / 1000), 2),
                spread(_values(way.name, connections, way.cpu), 1),
                ratio(cpu[way.name], cpu["direct"]), ratio(cpu[way.name], cpu["nginx"]), ratio(rate[way.name], rate["nginx"]),
            )
    print("\nWith a stdio server, CPU is that of the proxy and its child together. mcp-proxy checks ES256 tokens as the bridge does; nginx checks nothing.")


def _judge(ways):
    def cpu(name):
        return median(_values(name, AT, ways[name].cpu)) if name in ways else None

    def divided(name, base):
        return cpu(name) / cpu(base) if cpu(name) and cpu(base) else None

    def more(name, base):
        return cpu(name) - cpu(base) if name in ways else None

    at = f"at {AT} connections"
    aim(f"call to HTTP {at}, CPU", 60, cpu("bridge to HTTP"), " µs")
    aim(f"call to HTTP {at}, CPU ÷ nginx", 2.5, divided("bridge to HTTP", "nginx"))
    aim(f"call to HTTP {at}, CPU ÷ mcp-proxy", 0.25, divided("bridge to HTTP", "mcp-proxy to HTTP"))
    aim(f"call to a stdio child {at}, CPU with the child", 80, cpu("bridge to stdio"), " µs")
    aim(f"call to a stdio child {at}, CPU ÷ mcp-proxy", 0.33, divided("bridge to stdio", "mcp-proxy to stdio"))
    rate = median(_values("bridge to stdio", AT, lambda row: row["per_second"]))
    aim(f"calls through one stdio child {at}", 6000, rate, "/s", least=True)
    aim("stateless client before a session server, more CPU a call", 30, more("bridge, stateless client", "bridge to HTTP"), " µs")
    aim("session client before a stateless server, more CPU a call", 30, more("bridge, stateless server", "bridge to HTTP"), " µs")
