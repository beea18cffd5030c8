"""Servers as people run them, each alone behind the bridge and all under one endpoint: listed exactly as they list themselves, and called.

server-everything and server-filesystem are from npm, mcp-server-time and mcp-server-fetch from PyPI. In front is the official Python SDK 2, once in
each era. Run with the Python of tests/.tools/sdk2.
"""

import asyncio
import base64
import contextlib
import http.server
import json
import shutil
import tempfile
import threading
from pathlib import Path

from mcp.client.stdio import StdioServerParameters, stdio_client

import report
import sdk
from bridge import PATIENCE, TOOLS, Bridge, config
from oauth import Client, FormBrowser
from report import check
from sdk_v2 import SESSIONS, STATELESS

MODULES = TOOLS / "npm/node_modules/@modelcontextprotocol"
PYTHON = TOOLS / "servers/bin"
PAGE = "<html><head><title>A page</title></head><body><article><h1>A heading</h1><p>Grüße from a <b>page</b> on loopback.</p></article></body></html>"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Page(http.server.BaseHTTPRequestHandler):
    """A web site of three addresses; /private is not for programs."""

    answers = {"/page": ("text/html; charset=utf-8", PAGE), "/private": ("text/html", PAGE), "/robots.txt": ("text/plain", "User-agent: *\nDisallow: /private\n")}

    def do_GET(self):
        kind, text = self.answers.get(self.path, ("text/plain", "nothing here"))
        self.send_response(200 if self.path in self.answers else 404)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass


class Called:
    """A client whose tools are called by the names that the server itself gave them."""

    def __init__(self, client, prefix):
        self.client, self.prefix = client, prefix

    async def result(self, tool, arguments):
        return await self.client.call_tool(self.prefix + tool, arguments)

    async def text(self, tool, arguments):
        result = await self.result(tool, arguments)
        report.true(not result.is_error, f"{tool} {arguments}: expected a result, came {result}")
        return sdk.text_of(result)

    async def refused(self, tool, arguments, words):
        """A tool that says no: the words reach the client as they are, in the result."""
        result = await self.result(tool, arguments)
        report.true(result.is_error, f"{tool} {arguments}: expected an error, came {result}")
        report.contains(sdk.text_of(result), words, f"words of {tool}")


async def everything(called, stage):
    report.contains(await called.text("echo", {"message": "grüße"}), "Echo: grüße", "echo")
    report.contains(await called.text("get-sum", {"a": 19, "b": 23}), "is 42", "get-sum")
    weather = await called.result("get-structured-content", {"location": "Chicago"})
    report.equal(sorted(weather.structured_content), ["conditions", "humidity", "temperature"], "structured content")
    reference = await called.result("get-resource-reference", {"resourceType": "Text", "resourceId": 3})
    report.true(any(part.type == "resource" for part in reference.content), f"expected a resource in the result, came {reference}")
    annotated = await called.result("get-annotated-message", {"messageType": "error", "includeImage": True})
    report.true(annotated.content[0].annotations and annotated.content[0].annotations.priority == 1, f"expected annotations, came {annotated.content[0]}")
    prompt = await called.client.get_prompt(called.prefix + "args-prompt", {"city": "Kyiv", "state": "Oblast"})
    report.contains(prompt.messages[0].content.text, "Kyiv", "prompt args-prompt")
    for resource in (await called.client.list_resources()).resources:
        report.true((await called.client.read_resource(resource.uri)).contents, f"expected the content of {resource.uri}")


async def filesystem(called, stage):
    folder = stage.folder / f"written-{stage.number()}"
    note, moved, picture = str(folder / "note.txt"), str(folder / "moved.txt"), folder / "pixel.png"
    await called.text("create_directory", {"path": str(folder)})
    await called.text("write_file", {"path": note, "content": "eins\nzwei grüße\n"})
    report.equal(Path(note).read_text(), "eins\nzwei grüße\n", "the file that was written")
    for tool in ("read_text_file", "read_file"):
        report.equal(await called.text(tool, {"path": note}), "eins\nzwei grüße\n", f"answer of {tool}")
    report.equal(await called.text("read_text_file", {"path": note, "head": 1}), "eins", "the first line")
    report.contains(await called.text("edit_file", {"path": note, "edits": [{"oldText": "eins", "newText": "one"}]}), "+one", "edit_file")
    report.contains(await called.text("read_multiple_files", {"paths": [note, str(folder / "none")]}), "one\nzwei", "read_multiple_files")
    await called.text("move_file", {"source": note, "destination": moved})
    for tool in ("list_directory", "list_directory_with_sizes", "directory_tree"):
        report.contains(await called.text(tool, {"path": str(folder)}), "moved.txt", tool)
    report.contains(await called.text("search_files", {"path": str(folder), "pattern": "*.txt"}), moved, "search_files")
    report.contains(await called.text("get_file_info", {"path": moved}), "size: ", "get_file_info")
    report.contains(await called.text("list_allowed_directories", {}), str(stage.folder), "list_allowed_directories")
    picture.write_bytes(base64.b64decode(PIXEL))
    image = (await called.result("read_media_file", {"path": str(picture)})).content[0]
    report.equal((image.type, image.mime_type, image.data), ("image", "image/png", PIXEL), "read_media_file")
    await called.refused("read_text_file", {"path": "/etc/hostname"}, "Access denied")


async def time(called, stage):
    converted = json.loads(await called.text("convert_time", {"source_timezone": "UTC", "time": "12:30", "target_timezone": "Asia/Tokyo"}))
    report.contains(converted["target"]["datetime"], "T21:30:00+09:00", "12:30 UTC in Tokyo")
    report.equal(json.loads(await called.text("get_current_time", {"timezone": "Asia/Tokyo"}))["timezone"], "Asia/Tokyo", "time zone")
    await called.refused("convert_time", {"source_timezone": "Nowhere", "time": "12:30", "target_timezone": "UTC"}, "Nowhere")


async def fetch(called, stage):
    report.contains(await called.text("fetch", {"url": f"{stage.site}/page"}), "Grüße from a **page** on loopback.", "the page as Markdown")
    report.contains(await called.text("fetch", {"url": f"{stage.site}/page", "raw": True}), PAGE, "the page as it is")
    await called.refused("fetch", {"url": f"{stage.site}/private"}, "robots.txt")
    await called.refused("fetch", {"url": f"{stage.site}/missing"}, "404")
    prompt = await called.client.get_prompt(called.prefix + "fetch", {"url": f"{stage.site}/private"})
    report.contains(prompt.messages[0].content.text, "on loopback", "prompt fetch, which a person asked for")


class Stage:
    """The folder and the web site that the servers work on, and the servers."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="mcp-bridge-files-")).resolve()
        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        self.site = f"http://127.0.0.1:{self.web.server_address[1]}"
        self.count = 0
        self.commands = {
            "everything": ["node", str(MODULES / "server-everything/dist/index.js"), "stdio"],
            "filesystem": ["node", str(MODULES / "server-filesystem/dist/index.js"), str(self.folder)],
            "time": [str(PYTHON / "mcp-server-time")],
            "fetch": [str(PYTHON / "mcp-server-fetch"), "--allow-private-ips"],
        }

    def number(self):
        self.count += 1
        return self.count

    def upstream(self, name):
        """As an operator would write it."""
        command, *arguments = self.commands[name]
        return f"{name}:\n  command: {command!r}\n  args: {json.dumps(arguments)}\n"

    def close(self):
        self.web.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


PLAYS = {"everything": everything, "filesystem": filesystem, "time": time, "fetch": fetch}


async def listed(client):
    """Kind → what a client sees of it, each entry whole; nothing where the server does not say that it has any."""
    async def ask(capability, method, member):
        if getattr(client.server_capabilities, capability) is None:
            return []
        return [entry.model_dump(mode="json", by_alias=True) for entry in getattr(await method(), member)]

    return {
        "tools": await ask("tools", client.list_tools, "tools"),
        "prompts": await ask("prompts", client.list_prompts, "prompts"),
        "resources": await ask("resources", client.list_resources, "resources"),
        "templates": await ask("resources", client.list_resource_templates, "resource_templates"),
    }


async def by_itself(command):
    """What the server says of itself to a client that started it."""
    with open("/dev/null", "w") as nowhere:
        transport = stdio_client(StdioServerParameters(command=command[0], args=command[1:]), errlog=nowhere)
        async with SESSIONS.client(transport, sdk.Heard()) as client:
            return await listed(client)


def merged(lists):
    """The lists of several servers under one endpoint: tools and prompts have the name of their server before their own."""
    whole = {"tools": [], "prompts": [], "resources": [], "templates": []}
    for name, own in lists.items():
        for kind, entries in own.items():
            named = kind in ("tools", "prompts")
            whole[kind] += [{**entry, "name": f"{name}__{entry['name']}"} for entry in entries] if named else entries
    return whole


def expect_lists(got, expected):
    """The same entries, in any order: that is the bridge's own where there are several servers. Otherwise it says which differ, and in what."""
    wrong = []
    for kind, entries in expected.items():
        seen, wanted = ({entry.get("uri") or entry["name"]: entry for entry in one} for one in (got[kind], entries))
        report.equal(len(seen), len(got[kind]), f"{kind} that are listed once")
        wrong += [f"{kind}: {name} is missing" for name in sorted(wanted.keys() - seen.keys())]
        wrong += [f"{kind}: {name} is not the servers'" for name in sorted(seen.keys() - wanted.keys())]
        for name in sorted(seen.keys() & wanted.keys()):
            wrong += [
                f"{kind}: {name}: {member}: expected {wanted[name][member]!r}, came {seen[name][member]!r}"
                for member in wanted[name] if wanted[name][member] != seen[name][member]
            ]
    report.true(not wrong, "\n  ".join(wrong))


async def meet(label, era, bridge, token, stage, expected, names):
    """One client: the lists, then each server."""
    def bearer(request):
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    async with contextlib.AsyncExitStack() as stack:
        with check(f"{label}, {era.name}: everything is listed as the servers themselves list it ({', '.join(f'{len(e)} {k}' for k, e in expected.items())})"):
            client = await stack.enter_async_context(era.connect(bridge.url, bearer, sdk.Heard()))
            report.contains(era.versions, era.version(client), "negotiated protocol version")
            expect_lists(await listed(client), expected)
        for name in names:
            with check(f"{label}, {era.name}: {name} does its work"):
                await PLAYS[name](Called(client, f"{name}__" if len(names) > 1 else ""), stage)


def story(label, names, lists, stage):
    """One bridge with these servers behind it, and a client of each era before it."""
    with check(f"{label}: the bridge starts, the servers come up"):
        bridge = Bridge(config("".join(stage.upstream(name) + "  required: true\n" for name in names))).start()
        token = Client(bridge.url, "servers").login(FormBrowser(), *bridge.first_user()).access_token
    expected = merged({name: lists[name] for name in names}) if len(names) > 1 else lists[names[0]]
    for era in (SESSIONS, STATELESS):
        asyncio.run(meet(label, era, bridge, token, stage, expected, names))
    with check(f"{label}: SIGTERM ends the bridge with exit code 0"):
        report.equal(bridge.stop(), 0, "exit code after SIGTERM")


def run():
    """Each alone, then all."""
    sdk.require("mcp", "2.3.0")
    stage = Stage()
    try:
        with check("the servers list themselves to a client that starts them"):
            lists = {name: asyncio.run(asyncio.wait_for(by_itself(command), 2 * PATIENCE)) for name, command in stage.commands.items()}
        for name in PLAYS:
            story(f"{name} alone", [name], lists, stage)
        story("all four", list(PLAYS), lists, stage)
    finally:
        stage.close()


if __name__ == "__main__":
    sdk.quiet()
    report.main(run)
