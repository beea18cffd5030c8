"""An SDK of another language for the story of sdk.py: a program that does what it is told in lines of JSON (see sdk_typescript.mjs for the steps)."""

import asyncio
import contextlib
import json
import os
from types import SimpleNamespace

import report
from bridge import PATIENCE, TOOLS
from lines import log_of


class Refused(Exception):
    """The SDK raised an error instead of answering."""


class Program:
    """One process, one client. Its methods are those of the Python SDK's client, as far as the story calls them."""

    def __init__(self, command, storage, heard):
        self.command, self.storage, self.heard = command, storage, heard
        self.version, self._id, self._waiting, self._progress = None, 0, {}, None

    async def start(self):
        """Starts it. What it says besides goes to a log that is shown with every failure."""
        with open(log_of(os.path.basename(self.command[-1])), "a") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, env={**os.environ, "TEST_TOOLS": str(TOOLS)}, limit=1 << 26,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )
        self._reader = asyncio.create_task(self._read())
        return self

    async def _read(self):
        async for line in self.process.stdout:
            message = json.loads(line, object_hook=lambda members: SimpleNamespace(**members))
            if hasattr(message, "heard"):
                await self._hear(message.heard, message.value)
            else:
                self._keep(json.loads(line).get("storage"))
                self._waiting.pop(message.id).set_result(message)
        for answer in self._waiting.values():
            answer.set_exception(report.Failure(f"{self.command} ended instead of answering"))

    async def _hear(self, kind, value):
        if kind == "progress":
            if self._progress:  # rmcp asks for progress with every call
                await self._progress(*value, None)
        elif kind == "sampled":
            self.heard.sampled.append(vars(value))
        elif kind == "elicited":
            self.heard.elicited.append(value)
        elif kind == "roots":
            self.heard.roots_asked += 1
        else:
            self.heard.logs.append(value)
            self.heard.log_arrived.set()

    def _keep(self, kept):
        """What the SDK stored, as the story looks at it: `raw` is for the next process."""
        if kept:
            self.storage.raw, self.storage.stored = kept, kept["stored"]
            self.storage.client = kept.get("client") and SimpleNamespace(**kept["client"])
            self.storage.tokens = kept.get("tokens") and SimpleNamespace(**kept["tokens"])

    async def tell(self, step, **members):
        """One step, and what came of it."""
        self._id += 1
        answer = self._waiting[self._id] = asyncio.get_running_loop().create_future()
        self.process.stdin.write(json.dumps({"id": self._id, "do": step, **members}).encode() + b"\n")
        await self.process.stdin.drain()
        try:
            message = await asyncio.wait_for(answer, 2 * PATIENCE)
        except TimeoutError:
            raise report.Failure(f"{self.command} did not answer {step} {members} within {2 * PATIENCE} s") from None
        if hasattr(message, "failed"):
            raise Refused(f"{step}: {message.failed} ({getattr(message, 'what', '')})")
        return message.result

    async def end(self):
        """Its input ends, and so does it."""
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 10)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        await self._reader

    async def list_tools(self):
        return SimpleNamespace(tools=await self.tell("list", what="tools"))

    async def list_prompts(self):
        return SimpleNamespace(prompts=await self.tell("list", what="prompts"))

    async def list_resources(self):
        return SimpleNamespace(resources=await self.tell("list", what="resources"))

    async def list_resource_templates(self):
        return SimpleNamespace(templates=await self.tell("list", what="templates"))

    async def call_tool(self, tool, arguments, progress_callback=None):
        self._progress = progress_callback
        return await self.tell("call", tool=tool, arguments=arguments, progress=progress_callback is not None)

    async def get_prompt(self, name, arguments):
        return await self.tell("prompt", name=name, arguments=arguments)

    async def read_resource(self, uri):
        return await self.tell("read", uri=uri)

    async def set_logging_level(self, level):
        await self.tell("level", level=level)


class ProgramSdk:
    """What the story needs of an SDK in another language, in one of the eras it speaks."""

    error = Refused

    def __init__(self, name, command, stateless, versions):
        self.name, self.command, self.stateless, self.versions = name, [str(part) for part in command], stateless, versions

    @staticmethod
    def provider(url, redirect_uri, storage, person):
        return SimpleNamespace(redirect_uri=redirect_uri, storage=storage, person=person)

    @contextlib.asynccontextmanager
    async def connect(self, url, provider, heard):
        program = await Program(self.command, provider.storage, heard).start()
        try:
            kept = getattr(provider.storage, "raw", None)
            result = await program.tell("connect", url=url, redirect_uri=provider.redirect_uri, stateless=self.stateless, storage=kept)
            if hasattr(result, "authorize"):
                await provider.person.open(result.authorize)
                result = await program.tell("answer", callback=await provider.person.address())
            report.true(hasattr(result, "connected"), f"expected to be connected, came {result}")
            program.version = result.connected
            yield program
            await program.tell("close")
        finally:
            await program.end()

    @staticmethod
    async def expire(provider, client):
        await client.tell("expire")

    @staticmethod
    def version(client):
        return client.version

    @staticmethod
    def is_error(result):
        return bool(getattr(result, "isError", False))

    @staticmethod
    def schema(tool):
        return {"properties": vars(tool.inputSchema.properties)}

    @staticmethod
    def structured(result):
        return vars(result.structuredContent)

    @staticmethod
    def template_uris(templates):
        return [template.uriTemplate for template in templates.templates]

    @staticmethod
    def uri(text):
        return text
