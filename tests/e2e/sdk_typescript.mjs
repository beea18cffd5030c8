// A client of the official TypeScript SDK that does what it is told: `sdk_typescript.mjs v1` is @modelcontextprotocol/sdk, `v2` @modelcontextprotocol/client.
//
// A line of JSON on standard input is a step, { id, do, … }; its answer on standard output is { id, result } or { id, failed }, with `storage`, which is
// what the SDK's OAuthClientProvider keeps. Lines { heard, value } come in between: what the server said or asked. sdk_program.py tells the steps.
//
//   { do: "connect", url, redirect_uri, stateless, storage, elicited }   { connected: version }, or { authorize: url } when somebody has to log in; without
//                                      redirect_uri there is no OAuth; `elicited` is what the person enters when a server asks
//   { do: "answer", callback }         the address the browser came back to; then connected
//   { do: "list", what }               tools, prompts, resources, templates
//   { do: "call", tool, arguments, progress }
//   { do: "prompt", name, arguments }, { do: "read", uri }, { do: "level", level }
//   { do: "expire" }                   the access token is one the bridge refuses from here on
//   { do: "close" }

import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const tools = process.env.TEST_TOOLS ?? join(dirname(fileURLToPath(import.meta.url)), "../.tools");
const require = createRequire(join(tools, "npm/package.json"));
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const heard = (kind, value) => say({ heard: kind, value });

// ---- where the two generations differ

function generation1() {
  const [{ Client }, { StreamableHTTPClientTransport }, { UnauthorizedError }, types] = ["client/index.js", "client/streamableHttp.js", "client/auth.js", "types.js"].map(
    (path) => require(`@modelcontextprotocol/sdk/${path}`),
  );
  const schemas = {
    "sampling/createMessage": types.CreateMessageRequestSchema,
    "elicitation/create": types.ElicitRequestSchema,
    "roots/list": types.ListRootsRequestSchema,
    "notifications/message": types.LoggingMessageNotificationSchema,
  };
  return {
    Client, StreamableHTTPClientTransport, UnauthorizedError,
    options: () => ({}),
    onRequest: (client, method, handler) => client.setRequestHandler(schemas[method], handler),
    onNotification: (client, method, handler) => client.setNotificationHandler(schemas[method], handler),
    call: (client, params, options) => client.callTool(params, undefined, options),
    version: (client, transport) => transport.protocolVersion,
    finish: (transport, parameters) => transport.finishAuth(parameters.get("code")),
  };
}

function generation2() {
  const { Client, StreamableHTTPClientTransport, UnauthorizedError } = require("@modelcontextprotocol/client");
  return {
    Client, StreamableHTTPClientTransport, UnauthorizedError,
    options: (stateless) => ({ versionNegotiation: { mode: stateless ? "auto" : "legacy" } }),
    onRequest: (client, method, handler) => client.setRequestHandler(method, handler),
    onNotification: (client, method, handler) => client.setNotificationHandler(method, handler),
    call: (client, params, options) => client.callTool(params, options),
    version: (client) => client.getNegotiatedProtocolVersion(),
    finish: (transport, parameters) => transport.finishAuth(parameters),
  };
}

// ---- what the SDK asks its application for

// OAuthClientProvider, in memory. It opens no browser: it keeps the address for the answer to "connect".
class Provider {
  constructor(redirectUri, storage) {
    this.redirectUrl = redirectUri;
    this.storage = { stored: 0, ...storage };
  }

  clientMetadata = { client_name: "e2e TypeScript SDK", redirect_uris: [], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], token_endpoint_auth_method: "none" };

  state() {
    this.expectedState = crypto.randomUUID();
    return this.expectedState;
  }

  clientInformation() { return this.storage.client; }
  saveClientInformation(client) { this.storage.client = client; }
  tokens() { return this.storage.tokens; }
  saveTokens(tokens) { this.storage = { ...this.storage, tokens, stored: this.storage.stored + 1 }; }
  redirectToAuthorization(url) { this.wanted = url.href; }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  codeVerifier() { return this.verifier; }
}

function clientOf(sdk, { stateless, elicited = { name: "Ada", check: true, integer: 7 } }) {
  const capabilities = { sampling: {}, elicitation: { form: { applyDefaults: true } }, roots: { listChanged: true } };
  const client = new sdk.Client({ name: "e2e-typescript", version: "1" }, { capabilities, ...sdk.options(stateless) });
  sdk.onRequest(client, "sampling/createMessage", ({ params }) => {
    const [first] = [params.messages[0].content].flat();
    heard("sampled", { text: first.text, max_tokens: params.maxTokens });
    return { role: "assistant", content: { type: "text", text: "sampled by the e2e client" }, model: "e2e-model", stopReason: "endTurn" };
  });
  sdk.onRequest(client, "elicitation/create", ({ params }) => {
    heard("elicited", params.message);
    return { action: "accept", content: elicited };
  });
  sdk.onRequest(client, "roots/list", () => {
    heard("roots", null);
    return { roots: [{ uri: "file:///e2e/root", name: "e2e" }] };
  });
  sdk.onNotification(client, "notifications/message", ({ params }) => heard("log", params.data));
  return client;
}

// ---- the steps

function steps(sdk) {
  let client, transport, provider, wish;

  async function connect() {
    client = clientOf(sdk, wish);
    transport = new sdk.StreamableHTTPClientTransport(new URL(wish.url), provider ? { authProvider: provider } : {});
    try {
      await client.connect(transport);
      return { connected: sdk.version(client, transport) };
    } catch (error) {
      if (error instanceof sdk.UnauthorizedError && provider?.wanted) return { authorize: provider.wanted };
      throw error;
    }
  }

  const lists = {
    tools: async () => (await client.listTools()).tools,
    prompts: async () => (await client.listPrompts()).prompts,
    resources: async () => (await client.listResources()).resources,
    templates: async () => (await client.listResourceTemplates()).resourceTemplates,
  };
  return {
    storage: () => provider?.storage,
    connect(step) {
      wish = step;
      if (step.redirect_uri) {
        provider = new Provider(step.redirect_uri, step.storage);
        provider.clientMetadata.redirect_uris.push(step.redirect_uri);
      }
      return connect();
    },
    async answer({ callback }) {
      const parameters = new URL(callback).searchParams;
      if (parameters.get("state") !== provider.expectedState) throw new Error(`expected state ${provider.expectedState} in ${callback}`);
      await sdk.finish(transport, parameters);
      provider.wanted = undefined;
      return connect();
    },
    list: ({ what }) => lists[what](),
    call({ tool, arguments: given, progress }) {
      const options = progress ? { onprogress: ({ progress: done, total }) => heard("progress", [done, total]) } : {};
      return sdk.call(client, { name: tool, arguments: given }, options);
    },
    prompt: ({ name, arguments: given }) => client.getPrompt({ name, arguments: given }),
    read: ({ uri }) => client.readResource({ uri }),
    level: ({ level }) => client.setLoggingLevel(level),
    // The signature of another token: what the bridge says of it is what it says of one that is too old (401, invalid_token).
    expire() {
      const { tokens } = provider.storage;
      provider.storage.tokens = { ...tokens, access_token: `${tokens.access_token.slice(0, -20)}${"A".repeat(20)}` };
      return {};
    },
    async close() {
      await transport.terminateSession?.();
      await client.close();
      return {};
    },
  };
}

const sdk = { v1: generation1, v2: generation2 }[process.argv[2]]();
const known = steps(sdk);
for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...step } = JSON.parse(line);
  try {
    const result = await known[step.do](step);
    say({ id, result, storage: known.storage() });
  } catch (error) {
    say({ id, failed: error.message, what: error.stack, storage: known.storage() });
  }
}
process.exit(0);
