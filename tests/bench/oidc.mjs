#!/usr/bin/env node
// oidc-provider in memory, with refresh tokens already given: what the bridge's token endpoint is compared with. See tokens.py.
//
// Standard input has one line, { port, count, secret, resource }, and ends it when it ends; standard output gets one line, { tokens, introspected }.
// ES256 access tokens of one resource as JWTs, rotation at every use, as the bridge has it; opaque ones cannot be compared, a signature is most of the work.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.TEST_TOOLS, "npm/package.json"));
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

// Its own memory forgets whatever is not among the last thousand, so this is as little, without that.
const all = new Map();
class Memory {
  constructor(name) {
    this.key = (id) => `${name}:${id}`;
  }

  async upsert(id, payload) {
    all.set(this.key(id), payload);
  }

  async find(id) {
    return all.get(this.key(id));
  }

  async consume(id) {
    all.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    all.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of all) if (payload.grantId === grantId) all.delete(key);
  }
}

const lines = createInterface({ input: process.stdin });
const settings = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);
const { resource } = settings;
const key = { ...generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }), alg: "ES256", use: "sig", kid: "bench" };
const client = { redirect_uris: ["http://127.0.0.1/callback"], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], id_token_signed_response_alg: "ES256" };
const provider = new Provider(`http://127.0.0.1:${settings.port}`, {
  adapter: Memory,
  clients: [
    { client_id: "bench", token_endpoint_auth_method: "none", ...client },
    { client_id: "secret", client_secret: settings.secret, token_endpoint_auth_method: "client_secret_basic", ...client },
  ],
  jwks: { keys: [key] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  scopes: ["offline_access", "mcp:read"],
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  rotateRefreshToken: true,
  expiresWithSession: () => false,
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: "mcp:read", audience: resource, accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } }, accessTokenTTL: 3600 }),
    },
  },
  ttl: { AccessToken: 3600, Grant: 86400, RefreshToken: 86400 },
});

async function refreshToken(clientId) {
  const grant = new provider.Grant({ accountId: "ada", clientId });
  grant.addOIDCScope("offline_access");
  grant.addResourceScope(resource, "mcp:read");
  const token = new provider.RefreshToken({
    accountId: "ada", client: await provider.Client.find(clientId), grantId: await grant.save(), gty: "authorization_code",
    scope: "offline_access mcp:read", resource, rotations: 0, expiresWithSession: false,
  });
  return token.save();
}

provider.on("server_error", (_, error) => console.error(error));
provider.listen(settings.port, "127.0.0.1", async () => {
  const tokens = [];
  for (let number = 0; number < settings.count; number++) tokens.push(await refreshToken("bench"));
  process.stdout.write(`${JSON.stringify({ tokens, introspected: await refreshToken("secret") })}\n`);
});
lines.on("close", () => process.exit(0));
