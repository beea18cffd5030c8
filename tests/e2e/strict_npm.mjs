#!/usr/bin/env node
// The npm package oauth4webapi as a client of the bridge: it accepts nothing that the specifications do not say. See strict.py, which plays the person.
//
// The first line of standard input: { mcp_url, redirect_uri, authentication, client?, introspects? }, where authentication is none (the client
// registers itself), basic, post or private_key_jwt (`client` has client_id and client_secret or jwk). Answer: { open: URL }.
// The second: { callback: URL }. Answer: { checks: [what held, …] }. Anything that does not hold is { failed: … }.
//
// Environment: TEST_TOOLS (tests/.tools).

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const tools = process.env.TEST_TOOLS ?? join(dirname(fileURLToPath(import.meta.url)), "../.tools");
const oauth = await import(pathToFileURL(createRequire(join(tools, "npm/package.json")).resolve("oauth4webapi")));

// Loopback has no TLS; nothing else is relaxed.
const plain = { [oauth.allowInsecureRequests]: true };
const checks = [];

function holds(condition, what) {
  if (!condition) throw new Error(`does not hold: ${what}`);
  checks.push(what);
}

async function fails(promise, code, what) {
  const error = await promise.then(() => null, (error) => error);
  if (error?.error !== code) throw new Error(`does not hold: ${what}; came ${error ?? "no error"}`);
  checks.push(what);
}

async function discover(mcpUrl) {
  const url = new URL(mcpUrl);
  const resource = await oauth.processResourceDiscoveryResponse(url, await oauth.resourceDiscoveryRequest(url, plain));
  holds(resource.authorization_servers.length === 1, "RFC 9728: the metadata of the resource, with one authorization server");
  const issuer = new URL(resource.authorization_servers[0]);
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...plain }));
  holds(as.code_challenge_methods_supported.includes("S256"), "RFC 8414: the metadata of the authorization server, with S256");
  return as;
}

async function clientOf({ authentication, client, redirect_uri }, as) {
  if (authentication === "none") {
    const metadata = { client_name: "oauth4webapi", redirect_uris: [redirect_uri], token_endpoint_auth_method: "none", grant_types: ["authorization_code", "refresh_token"], response_types: ["code"] };
    const registered = await oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, metadata, plain));
    holds(registered.token_endpoint_auth_method === "none", "RFC 7591: registration");
    return [registered, oauth.None()];
  }
  const [known, secret] = [{ client_id: client.client_id }, client.client_secret];
  if (authentication === "basic") return [known, oauth.ClientSecretBasic(secret)];
  if (authentication === "post") return [known, oauth.ClientSecretPost(secret)];
  const key = await crypto.subtle.importKey("jwk", client.jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
  return [known, oauth.PrivateKeyJwt({ key, kid: client.jwk.kid })];
}

async function begin(settings) {
  const as = await discover(settings.mcp_url);
  const [client, authentication] = await clientOf(settings, as);
  const [verifier, state] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState()];
  const url = new URL(as.authorization_endpoint);
  const parameters = {
    response_type: "code", client_id: client.client_id, redirect_uri: settings.redirect_uri, state, resource: settings.mcp_url,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return { settings, as, client, authentication, verifier, state, url };
}

// Whether an access token opens the resource, and what a JWT of RFC 9068 must be.
async function opens({ settings, as }, token) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "strict", version: "1" } } });
  const headers = new Headers({ "content-type": "application/json", accept: "application/json, text/event-stream" });
  try {
    const answer = await oauth.protectedResourceRequest(token, "POST", new URL(settings.mcp_url), headers, body, plain);
    await answer.body?.cancel();
    return answer.status === 200;
  } catch (error) {
    const challenge = error.cause?.[0];
    if (challenge?.scheme !== "bearer" || challenge.parameters.error !== "invalid_token") throw error;
    return false;
  }
}

async function introspect(flow, token) {
  const { as, client, authentication } = flow;
  return oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, authentication, token, plain));
}

async function introspection(flow, tokens) {
  const said = await introspect(flow, tokens.access_token);
  holds(said.active && said.client_id === flow.client.client_id && said.iss === flow.as.issuer, "RFC 7662: an access token is active");
  holds((await introspect(flow, tokens.refresh_token)).active, "RFC 7662: a refresh token is active");
  holds(!(await introspect(flow, "nothing")).active, "RFC 7662: what is no token is not");
}

async function finish(flow, callback) {
  const { settings, as, client, authentication, verifier, state } = flow;
  const resource = { additionalParameters: { resource: settings.mcp_url }, ...plain };
  const parameters = oauth.validateAuthResponse(as, client, new URL(callback), state);
  checks.push("RFC 9207: state and iss of the answer");
  const redeem = async () => oauth.processAuthorizationCodeResponse(
    as, client, await oauth.authorizationCodeGrantRequest(as, client, authentication, parameters, settings.redirect_uri, verifier, resource),
  );
  const tokens = await redeem();
  holds(tokens.token_type === "bearer" && tokens.refresh_token && tokens.scope, "RFC 6749: the token response");
  const request = new Request(settings.mcp_url, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  const claims = await oauth.validateJwtAccessToken(as, request, settings.mcp_url, plain);
  holds(claims.client_id === client.client_id, "RFC 9068: the access token, by the published keys");
  holds(await opens(flow, tokens.access_token), "RFC 6750: it opens the resource");
  if (settings.introspects) await introspection(flow, tokens);
  const refresh = async (token) => oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, authentication, token, resource));
  const fresh = await refresh(tokens.refresh_token);
  holds(fresh.refresh_token !== tokens.refresh_token && (await opens(flow, fresh.access_token)), "OAuth 2.1 §4.3: refresh, with rotation");
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, authentication, fresh.refresh_token, plain));
  await fails(refresh(fresh.refresh_token), "invalid_grant", "RFC 7009: a revoked refresh token is invalid_grant");
  holds(!(await opens(flow, fresh.access_token)), "RFC 7009: its access token is invalid_token");
  if (settings.introspects) holds(!(await introspect(flow, fresh.access_token)).active, "RFC 7662: a revoked token is not active");
  await fails(redeem(), "invalid_grant", "OAuth 2.1 §4.1.3: a code is good once");
}

let flow;
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const message = JSON.parse(line);
    if (flow) await finish(flow, message.callback);
    else flow = await begin(message);
    process.stdout.write(`${JSON.stringify(message.callback ? { checks } : { open: flow.url.href })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ failed: `${error.message} ${JSON.stringify(error.cause?.parameters ?? error.cause ?? "")}` })}\n`);
  }
}
process.exit(0);
