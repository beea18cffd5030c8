"""What the official SDKs share: where tokens are kept, the person in the browser, and the story that is told.

`Story` runs it: `sdk_v2.py`, `sdk_v1.py`, `sdk_typescript.py` and `sdk_rmcp.py` give it an SDK, nothing else. The SDK itself is as it comes from its registry.
"""

import asyncio
import importlib.metadata
import json
import logging
import os
import time
import urllib.parse
import warnings

import browser
import report
from bridge import Bridge, config, everything_upstream, expect_gone
from report import check

SESSION_ERA = ["2025-03-26", "2025-06-18", "2025-11-25"]
SECRET_OF_THE_BRIDGE = "e2e-secret-that-children-must-not-see"


class Storage:
    """Tokens and registration in memory; counts how often tokens were stored."""

    def __init__(self):
        self.tokens = self.client = None
        self.stored = 0

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        self.stored += 1

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Person:
    """Opens what the client asks to open, logs in and allows."""

    expected = ["login", "consent"]

    def __init__(self, username, password):
        self.username, self.password = username, password
        self.callback = browser.Callback()
        self.visits = []

    async def open(self, url):
        visit = await asyncio.to_thread(browser.authorize, url, self.username, self.password)
        self.visits.append(visit["pages"])

    async def answer(self):
        return await asyncio.to_thread(self.callback.take)

    async def address(self):
        """The answer as the address that the browser came back to."""
        return f"{self.callback.uri}?{urllib.parse.urlencode(await self.answer())}"


def overdue(provider):
    """As the Python SDKs see a token whose `expires_in` has passed."""
    provider.context.token_expiry_time = time.time() - 1


class Heard:
    """What the server said or asked while calls were under way."""

    def __init__(self):
        self.progress, self.logs, self.sampled, self.elicited, self.roots_asked = [], [], [], [], 0
        self.log_arrived = asyncio.Event()


def text_of(result):
    """The text parts of a tool result or of prompt messages."""
    return "\n".join(part.text for part in result.content if getattr(part, "text", None) is not None)


class Story:
    """The same story for each SDK.

    `sdk` offers: `name`; `versions`, what may be negotiated; `provider(url, redirect_uri, storage, person)`; `connect(url, provider, heard)`, an async context manager whose
    value has the methods of the SDK's client; `expire(provider, client)`; `is_error(result)`, `schema(tool)`, `structured(result)`, `version(client)`.
    """

    def __init__(self, sdk):
        self.sdk = sdk

    def run(self):
        """Both halves."""
        self._run_with("builtin whoami, the repository's config.yaml", Bridge.with_repository_config, self.whoami)
        environment = {"E2E_SECRET": SECRET_OF_THE_BRIDGE}
        self._run_with("server-everything (stdio)", lambda: Bridge(config(everything_upstream()), environment), self._everything)

    def _run_with(self, what, make_bridge, story):
        prefix = f"{self.sdk.name}, {what}"
        with check(f"{prefix}: the bridge starts and prints its address and the first user's password"):
            bridge = make_bridge().start()
            person = Person(*bridge.first_user())
        asyncio.run(self.tell(prefix, bridge, person, story))
        with check(f"{prefix}: SIGTERM ends the bridge with exit code 0 and leaves no process"):
            left = bridge.descendants()
            report.equal(bridge.stop(), 0, "exit code after SIGTERM")
            expect_gone(left, 5, "after SIGTERM")

    async def tell(self, prefix, bridge, person, story):
        """Login, what `story` adds, refresh and a second start; the bridge runs already."""
        sdk, storage, heard = self.sdk, Storage(), Heard()
        provider = sdk.provider(bridge.url, person.callback.uri, storage, person)
        with check(f"{prefix}: discovery, registration, login, consent, token, initialize"):
            connection = sdk.connect(bridge.url, provider, heard)
            client = await connection.__aenter__()
            report.equal(person.visits, [person.expected], "pages seen by the person")
            report.true(storage.client and storage.client.client_id, f"expected a registered client, came {storage.client}")
            report.true(storage.tokens and storage.tokens.refresh_token, "expected a refresh token in the SDK's storage")
            report.contains(sdk.versions, sdk.version(client), "negotiated protocol version")
        try:
            call = await story(prefix, client, person, heard)
            with check(f"{prefix}: an expired token is refreshed without the person, and the call goes through"):
                before, stored = storage.tokens, storage.stored
                await sdk.expire(provider, client)
                await call(client)
                report.equal(storage.stored, stored + 1, "how often the SDK stored new tokens")
                report.true(storage.tokens.access_token != before.access_token, "expected another access token after the refresh")
                report.true(storage.tokens.refresh_token != before.refresh_token, "expected another refresh token: they rotate")
                report.equal(len(person.visits), 1, "how often the person was asked")
            with check(f"{prefix}: and again, with the successor"):
                await sdk.expire(provider, client)
                await call(client)
                report.equal(storage.stored, stored + 2, "how often the SDK stored new tokens")
        finally:
            await connection.__aexit__(None, None, None)
        with check(f"{prefix}: a new process with the stored tokens asks nobody"):
            async with sdk.connect(bridge.url, sdk.provider(bridge.url, person.callback.uri, storage, person), heard) as client:
                await call(client)
            report.equal(len(person.visits), 1, "how often the person was asked")

    async def whoami(self, prefix, client, person, heard):
        sdk = self.sdk
        with check(f"{prefix}: tools/list shows whoami, echo and time"):
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            report.equal(sorted(tools), ["echo", "time", "whoami"], "names of the tools")

        async def whoami(client):
            result = await client.call_tool("whoami", {})
            report.true(not sdk.is_error(result), f"expected a result of whoami, came {result}")
            report.contains(text_of(result), person.username, "answer of whoami")

        with check(f"{prefix}: whoami names the person who logged in"):
            await whoami(client)
        with check(f"{prefix}: echo and time answer"):
            argument = next(iter(sdk.schema(tools["echo"])["properties"]))
            said = "grüße, \"quoted\" \\ \n 日本語 " + "x" * 20000
            result = await client.call_tool("echo", {argument: said})
            report.contains(text_of(result), said, "answer of echo")
            result = await client.call_tool("time", {})
            report.true(not sdk.is_error(result) and text_of(result), f"expected a time, came {result}")
        with check(f"{prefix}: a tool that does not exist is an error, and the session goes on"):
            try:
                result = await client.call_tool("no-such-tool", {})
                refused = sdk.is_error(result)
            except sdk.error as error:
                refused = bool(str(error))
            report.true(refused, "expected an error for an unknown tool")
            await whoami(client)
        return whoami

    async def _everything(self, prefix, client, person, heard):
        sdk = self.sdk

        async def call(tool, arguments, expected, **more):
            result = await client.call_tool(tool, arguments, **more)
            report.true(not sdk.is_error(result), f"expected a result of {tool}, came {result}")
            for part in [expected] if isinstance(expected, str) else expected:
                report.contains(text_of(result), part, f"answer of {tool}")
            return result

        async def get_sum(client):
            result = await client.call_tool("get-sum", {"a": 19, "b": 23})
            report.contains(text_of(result), "is 42", "answer of get-sum")

        with check(f"{prefix}: tools/list shows its tools, those for sampling, elicitation and roots among them"):
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            wanted = {
                "echo", "get-sum", "get-tiny-image", "get-structured-content", "get-resource-links", "get-env", "toggle-simulated-logging",
                "trigger-long-running-operation", "trigger-sampling-request", "trigger-elicitation-request", "get-roots-list",
            }
            report.true(wanted <= set(tools), f"expected {sorted(wanted)} among the tools, missing {sorted(wanted - set(tools))}")
        with check(f"{prefix}: tools answer with text, image, structured content and links"):
            await call("echo", {"message": "hello"}, "Echo: hello")
            await get_sum(client)
            image = await call("get-tiny-image", {}, "image")
            report.contains([part.type for part in image.content], "image", "kinds of content of get-tiny-image")
            weather = await call("get-structured-content", {"location": "New York"}, "temperature")
            report.equal(sorted(sdk.structured(weather)), ["conditions", "humidity", "temperature"], "structured content")
            links = await call("get-resource-links", {"count": 3}, "3 resource links")
            report.equal([part.type for part in links.content].count("resource_link"), 3, "links of get-resource-links")
        with check(f"{prefix}: the child sees the allowed environment only"):
            seen = json.loads(text_of(await call("get-env", {}, "PATH")))
            report.true(SECRET_OF_THE_BRIDGE not in seen.values(), f"expected no secret of the bridge's environment in the child, came {sorted(seen)}")
            report.true(set(seen) <= {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL"} | {"PWD", "SHLVL", "_"},
                        f"expected only allow-listed variables in the child, came {sorted(seen)}")
        with check(f"{prefix}: progress of a long call arrives while it runs"):
            async def progress(done, total, message):
                heard.progress.append((done, total))

            await call("trigger-long-running-operation", {"duration": 0.5, "steps": 5}, "completed", progress_callback=progress)
            report.equal(heard.progress, [(step, 5) for step in range(1, 6)], "progress notifications")
        if sdk.versions == SESSION_ERA:  # server-everything logs between calls, which is nobody's in the stateless era
            with check(f"{prefix}: log messages arrive after logging/setLevel"):
                await client.set_logging_level("debug")
                await call("toggle-simulated-logging", {}, "Started")
                await asyncio.wait_for(heard.log_arrived.wait(), 20)
                await call("toggle-simulated-logging", {}, "Stopped")
        with check(f"{prefix}: sampling: the server asks this client's model"):
            await call("trigger-sampling-request", {"prompt": "what is it", "maxTokens": 7}, ["sampled by the e2e client", "e2e-model"])
            report.equal([(request["text"], request["max_tokens"]) for request in heard.sampled],
                         [("Resource trigger-sampling-request context: what is it", 7)], "sampling requests")
        with check(f"{prefix}: elicitation: the server asks this client's person"):
            await call("trigger-elicitation-request", {}, ["provided the requested information", "Name: Ada"])
            report.equal(len(heard.elicited), 1, "elicitation requests")
        with check(f"{prefix}: roots: the server asks for this client's roots"):
            await call("get-roots-list", {}, "file:///e2e/root")
            report.true(heard.roots_asked > 0, "expected the client to be asked for its roots")
        with check(f"{prefix}: prompts/list and prompts/get"):
            prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
            report.true({"simple-prompt", "args-prompt"} <= prompts, f"expected simple-prompt and args-prompt, came {sorted(prompts)}")
            prompt = await client.get_prompt("args-prompt", {"city": "Kyiv"})
            report.contains(prompt.messages[0].content.text, "weather in Kyiv", "prompt args-prompt")
        with check(f"{prefix}: resources/list, resources/templates/list and resources/read"):
            resources = (await client.list_resources()).resources
            report.true(resources, "expected resources, came none")
            read = await client.read_resource(resources[0].uri)
            report.true(read.contents and (read.contents[0].text), f"expected the content of {resources[0].uri}, came {read}")
            templates = await client.list_resource_templates()
            uris = sdk.template_uris(templates)
            report.true(any(uri.startswith("demo://resource/dynamic/text/") for uri in uris), f"expected the dynamic text template, came {uris}")
            dynamic = await client.read_resource(sdk.uri("demo://resource/dynamic/text/7"))
            report.contains(dynamic.contents[0].text, "7", "dynamic resource 7")
        return get_sum


def require(distribution, version):
    """The SDK must be the one the script is named for."""
    report.equal(importlib.metadata.version(distribution), version, f"installed version of {distribution}")


def quiet():
    """The SDK logs whole tracebacks of what it then raises; they come with the failure anyway. It also warns of what 2026-07-28 drops."""
    logging.disable(logging.CRITICAL if os.environ.get("VERBOSE") != "1" else logging.NOTSET)
    warnings.simplefilter("ignore")
