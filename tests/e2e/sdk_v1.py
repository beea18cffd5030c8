"""The official Python SDK, generation 1 (mcp 1.30.0), against the release binary. Run with the Python of tests/.tools/sdk1."""

import contextlib
from datetime import timedelta

import httpx
from mcp import ClientSession, McpError, types
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from pydantic import AnyUrl

import report
import sdk


class V1:
    """What the story needs of this SDK."""

    name = "SDK 1.30.0"
    versions = sdk.SESSION_ERA
    error = McpError

    @staticmethod
    def provider(url, redirect_uri, storage, person):
        async def answer():
            parameters = await person.answer()
            report.true("iss" in parameters, f"expected iss in the authorization response (RFC 9207), came {parameters}")
            return parameters.get("code", ""), parameters.get("state")

        metadata = OAuthClientMetadata(client_name="e2e SDK 1", redirect_uris=[redirect_uri])
        return OAuthClientProvider(url, metadata, storage, redirect_handler=person.open, callback_handler=answer)

    @staticmethod
    @contextlib.asynccontextmanager
    async def connect(url, provider, heard):
        async def log(params):
            heard.logs.append(params.data)
            heard.log_arrived.set()

        async def sample(context, params):
            heard.sampled.append({"text": params.messages[0].content.text, "max_tokens": params.maxTokens})
            content = types.TextContent(type="text", text="sampled by the e2e client")
            return types.CreateMessageResult(role="assistant", content=content, model="e2e-model", stopReason="endTurn")

        async def elicit(context, params):
            heard.elicited.append(params.message)
            return types.ElicitResult(action="accept", content={"name": "Ada", "check": True, "integer": 7})

        async def roots(context):
            heard.roots_asked += 1
            return types.ListRootsResult(roots=[types.Root(uri="file:///e2e/root", name="e2e")])

        async with httpx.AsyncClient(auth=provider, timeout=httpx.Timeout(30, read=300)) as http_client:
            async with streamable_http_client(url, http_client=http_client) as (read, write, _):
                async with ClientSession(
                    read, write, read_timeout_seconds=timedelta(seconds=60), logging_callback=log, sampling_callback=sample,
                    elicitation_callback=elicit, list_roots_callback=roots,
                ) as session:
                    session.e2e_version = (await session.initialize()).protocolVersion
                    yield session

    @staticmethod
    async def expire(provider, client):
        sdk.overdue(provider)

    @staticmethod
    def version(session):
        return session.e2e_version

    @staticmethod
    def is_error(result):
        return bool(result.isError)

    @staticmethod
    def schema(tool):
        return tool.inputSchema

    @staticmethod
    def structured(result):
        return result.structuredContent

    @staticmethod
    def template_uris(templates):
        return [template.uriTemplate for template in templates.resourceTemplates]

    @staticmethod
    def uri(text):
        return AnyUrl(text)


if __name__ == "__main__":
    sdk.require("mcp", "1.30.0")
    sdk.quiet()
    report.main(sdk.Story(V1).run)
