#!/usr/bin/env python3
"""What the official conformance suite runs as its client: the bridge with the suite's server behind it, and an SDK in front that does what the scenario needs.

usage: conformance_client.py sessions|stateless URL (the suite sets MCP_CONFORMANCE_SCENARIO and MCP_CONFORMANCE_CONTEXT; see conformance_upstream.py)

In front is the TypeScript SDK: generation 1 as the session-era client, which knows nothing of 2026-07-28, so that what the suite sees is the bridge's own
doing; generation 2 as the stateless one.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import sdk
from bridge import Bridge
from sdk_program import Program, Refused

SCRIPT = Path(__file__).with_name("sdk_typescript.mjs")
CONFIG = "server:\n  listen: 127.0.0.1:@PORT@\n  auth: {type: none}\nupstreams:\n  suite: {url: '@URL@', prefix: '', required: true}\n"
# What the person enters when a server asks: nothing lets the SDK put in the defaults.
ELICITED = {"elicitation-sep1034-client-defaults": {}, "sep-2322-client-request-state": {"confirmed": True}}
# Arguments for what a tool wants, by the type of its property.
SAMPLES = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "array": ["text"], "object": {"a": 1}, "null": None}


def plain(value):
    """A result of Program as JSON again."""
    if isinstance(value, SimpleNamespace):
        return {name: plain(member) for name, member in vars(value).items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


async def everything(client, context):
    """Each tool that is listed is called, each resource read, each prompt asked for."""
    tools = plain((await client.list_tools()).tools)
    for tool in tools:
        properties = tool["inputSchema"].get("properties", {})
        await client.call_tool(tool["name"], {name: SAMPLES[schema.get("type", "string")] for name, schema in properties.items()})
    return tools


async def everything_else_too(client, context):
    """Resources and prompts besides."""
    await everything(client, context)
    for resource in (await client.list_resources()).resources:
        await client.read_resource(resource.uri)
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name, {})


async def as_told(client, context):
    """The calls that the scenario hands over."""
    await client.list_tools()
    for call in context["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def echo_schema(client, context):
    """The schema of one tool goes back as it came, as an argument of the other."""
    tools = {tool["name"]: tool for tool in plain((await client.list_tools()).tools)}
    await client.call_tool("json_schema_echo", {"schema": tools["json_schema_2020_12_tool"]["inputSchema"]})


async def listing(client, context):
    """Nothing but a list."""
    await client.list_tools()


async def add_numbers(client, context):
    """One call with numbers."""
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


SCENARIOS = {
    "initialize": None,  # a server without tools: to connect is all there is
    "request-metadata": None,
    "tools_call": add_numbers,
    "elicitation-sep1034-client-defaults": everything,
    "sse-retry": everything,
    "sep-2322-client-request-state": everything,
    "http-standard-headers": everything_else_too,
    "http-custom-headers": as_told,
    "http-invalid-tool-headers": everything,
    "json-schema-ref-no-deref": listing,
    "json-schema-2020-12-preservation": echo_schema,
}


async def drive(url, front, scenario, context):
    """The client of one scenario."""
    client = await Program(["node", str(SCRIPT), {"sessions": "v1", "stateless": "v2"}[front]], sdk.Storage(), sdk.Heard()).start()
    try:
        await client.tell("connect", url=url, stateless=front == "stateless", elicited=ELICITED.get(scenario, {}))
        if SCENARIOS[scenario]:
            await SCENARIOS[scenario](client, context)
        await client.tell("close")
    finally:
        await client.end()


def main():
    """One scenario. What goes wrong is on standard output, where the suite keeps it."""
    front, url = sys.argv[1:]
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    bridge = Bridge(CONFIG.replace("@URL@", url))
    try:
        bridge.start()
        asyncio.run(drive(bridge.url, front, os.environ["MCP_CONFORMANCE_SCENARIO"], context))
    except (AssertionError, Refused) as error:
        print(f"{error}\n{bridge.log.read_text()}")
        return 1
    finally:
        bridge.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
