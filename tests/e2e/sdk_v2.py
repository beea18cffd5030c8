"""The official Python SDK, generation 2 (mcp 2.3.0), against the release binary. Run with the Python of tests/.tools/sdk2."""

import contextlib

import httpx2
import mcp_types as types
from mcp import Client, MCPError
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from mcp.types import TextContent

import report
import sdk


class V2:
    """What the story needs of this SDK, in one of the two eras it speaks: left alone it asks for the newer first."""

    error = MCPError

    def __init__(self, name, mode, versions):
        self.name, self.mode, self.versions = name, mode, versions

    @staticmethod
    def provider(url, redirect_uri, storage, person):
        async def answer():
            parameters = await person.answer()
            return AuthorizationCodeResult(code=parameters.get("code", ""), state=parameters.get("state"), iss=parameters.get("iss"))

        metadata = OAuthClientMetadata(client_name="e2e SDK 2", redirect_uris=[redirect_uri])
        return OAuthClientProvider(url, metadata, storage, redirect_handler=person.open, callback_handler=answer)

    @contextlib.asynccontextmanager
    async def connect(self, url, provider, heard):
        async with httpx2.AsyncClient(auth=provider, timeout=httpx2.Timeout(30, read=300)) as http_client:
            async with self.client(streamable_http_client(url, http_client=http_client), heard) as client:
                yield client

    def client(self, transport, heard):
        """The SDK's client on a transport, with a model, a person and a folder behind it."""
        async def log(params):
            heard.logs.append(params.data)
            heard.log_arrived.set()

        async def sample(context, params):
            heard.sampled.append({"text": params.messages[0].content.text, "max_tokens": params.max_tokens})
            content = TextContent(type="text", text="sampled by the e2e client")
            return types.CreateMessageResult(role="assistant", content=content, model="e2e-model", stop_reason="endTurn")

        async def elicit(context, params):
            heard.elicited.append(params.message)
            return types.ElicitResult(action="accept", content={"name": "Ada", "check": True, "integer": 7})

        async def roots(context):
            heard.roots_asked += 1
            return types.ListRootsResult(roots=[types.Root(uri="file:///e2e/root", name="e2e")])

        return Client(
            transport, logging_callback=log, sampling_callback=sample, elicitation_callback=elicit, list_roots_callback=roots,
            read_timeout_seconds=60, mode=self.mode,
        )

    @staticmethod
    async def expire(provider, client):
        sdk.overdue(provider)

    @staticmethod
    def version(client):
        return client.protocol_version

    @staticmethod
    def is_error(result):
        return bool(result.is_error)

    @staticmethod
    def schema(tool):
        return tool.input_schema

    @staticmethod
    def structured(result):
        return result.structured_content

    @staticmethod
    def template_uris(templates):
        return [template.uri_template for template in templates.resource_templates]

    @staticmethod
    def uri(text):
        return text


STATELESS = V2("SDK 2.3.0, stateless", "auto", ["2026-07-28"])
SESSIONS = V2("SDK 2.3.0, sessions", "legacy", sdk.SESSION_ERA)


def both():
    """The story in each era."""
    for era in (STATELESS, SESSIONS):
        sdk.Story(era).run()


if __name__ == "__main__":
    sdk.require("mcp", "2.3.0")
    sdk.quiet()
    report.main(both)
