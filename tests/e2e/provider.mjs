#!/usr/bin/env node
// An identity provider that nobody here wrote: the npm package oidc-provider, in memory, with a login and a consent page of plain forms.
//
// The first line of standard input is one JSON object with the settings, each line after it is a command; every line gets one line of JSON on
// standard output. It ends when standard input ends. Whoever starts it needs no more than that (see federated.py).
//
//   { port, host?, accounts: { login: { password, sub, claims } }, clients: [metadata of RFC 7591, …], claims_in_id_token? }
//     → { issuer }                        when it answers requests
//   { remove: login } | { restore: login }  the person is gone: no account, whatever was granted; or back again
//   { claims: login, set: { … } }         what is said of the person from now on
//   { revoke: login }                     grants and sessions end, the account stays
//   { ailing: true | false }              people still see its pages, but programs get 500 for everything
//   { seen: true }                        → { seen: [ … ] }  requests since the last time; see `noted`
//
// Environment: TEST_TOOLS (tests/.tools).

import { createRequire } from "node:module";
import { createServer } from "node:http";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const tools = process.env.TEST_TOOLS ?? join(dirname(fileURLToPath(import.meta.url)), "../.tools");
const require = createRequire(join(tools, "npm/package.json"));
const { Provider, errors } = await import(pathToFileURL(require.resolve("oidc-provider")));

const escaped = (text) => String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const html = (title, body) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)}</title>
<h1>${escaped(title)}</h1>
${body}
</html>`;

const loginPage = (alert) => html("Provider: log in", `${alert ? `<p role="alert">${escaped(alert)}</p>` : ""}
<form method="post"><label>Login <input name="login" required></label> <label>Password <input name="secret" type="password" required></label>
<button name="answer" value="login">Log in</button> <button name="answer" value="cancel" formnovalidate>Cancel</button></form>`);

const consentPage = (client, scopes) => html("Provider: consent", `<p>${escaped(client)} wants: ${escaped(scopes)}</p>
<form method="post"><button name="answer" value="consent">Continue</button> <button name="answer" value="cancel">Cancel</button></form>`);

// Private keys of both kinds that providers sign with, new at every start.
function signingKeys() {
  const pairs = { ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }), RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }) };
  return Object.entries(pairs).map(([alg, { privateKey }]) => ({
    ...privateKey.export({ format: "jwk" }), alg, use: "sig", kid: `${alg}-${randomBytes(4).toString("hex")}`,
  }));
}

// The people, and what is remembered of them to end it.
class People {
  constructor(accounts) {
    this.all = new Map(Object.entries(accounts).map(([login, account]) => [login, { ...account, login, gone: false, grants: new Set(), sessions: new Set() }]));
  }

  named(login) {
    const person = this.all.get(login);
    if (!person) throw new Error(`nobody is called ${login}`);
    return person;
  }

  present(sub) {
    return [...this.all.values()].find((person) => person.sub === sub && !person.gone);
  }

  whoLogsIn(login, secret) {
    const person = this.all.get(login);
    return person && !person.gone && person.password === secret ? person : undefined;
  }
}

function configuration(settings, people) {
  return {
    clients: settings.clients,
    jwks: { keys: signingKeys() },
    cookies: { keys: [randomBytes(32).toString("hex")] },
    scopes: ["openid", "offline_access", "email", "profile", "groups"],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
    // What the scopes ask for is at the userinfo endpoint alone, unless told otherwise (OpenID Connect Core §5.4).
    conformIdTokenClaims: !settings.claims_in_id_token,
    pkce: { required: () => true },
    rotateRefreshToken: true,
    // A refresh token must not end with the browser's session: that is what offline_access means.
    expiresWithSession: () => false,
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (context, form) => {
          context.body = html("Provider: log out", `${form}<button form="op.logoutForm" name="logout" value="yes">Log out</button>`);
        },
        postLogoutSuccessSource: (context) => { context.body = html("Provider: logged out", ""); },
      },
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, sub) => {
      const person = people.present(sub);
      return person && { accountId: sub, claims: () => ({ sub, ...person.claims }) };
    },
    renderError: (context, out) => {
      context.type = "html";
      context.body = html("Provider: error", `<p role="alert">${escaped(out.error)}: ${escaped(out.error_description)}</p>`);
    },
    ttl: { AccessToken: 300, AuthorizationCode: 60, Grant: 86400, IdToken: 300, Interaction: 3600, RefreshToken: 86400, Session: 86400 },
  };
}

async function formOf(request) {
  let body = "";
  for await (const part of request) body += part;
  return new URLSearchParams(body);
}

async function grantFor(provider, { grantId, session, params, prompt: { details } }) {
  const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (details.missingOIDCScope) grant.addOIDCScope(details.missingOIDCScope.join(" "));
  if (details.missingOIDCClaims) grant.addOIDCClaims(details.missingOIDCClaims);
  return grant.save();
}

// The pages between the authorization request and its answer.
async function interact(provider, people, request, response) {
  const details = await provider.interactionDetails(request, response);
  const { prompt, params, session } = details;
  const show = (page) => response.writeHead(200, { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" }).end(page);
  const finish = (result, more) => provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false, ...more });
  if (request.method !== "POST") return show(prompt.name === "login" ? loginPage() : consentPage(params.client_id, params.scope));
  const form = await formOf(request);
  if (form.get("answer") === "cancel") return finish({ error: "access_denied", error_description: "the person pressed Cancel <b>" });
  if (prompt.name === "login") {
    const person = people.whoLogsIn(form.get("login"), form.get("secret"));
    return person ? finish({ login: { accountId: person.sub } }) : show(loginPage("wrong login or password"));
  }
  const grantId = await grantFor(provider, details);
  const person = people.present(session.accountId);
  person?.grants.add(grantId);
  person?.sessions.add(session.uid);
  return finish({ consent: { grantId } }, { mergeWithLastSubmission: true });
}

// What is noted of a request: how it was made, nothing that must stay secret.
function noted({ oidc, status, body, headers }) {
  const { params = {}, client, body: sent = {} } = oidc;
  const authentication = headers.authorization ? headers.authorization.split(" ")[0].toLowerCase()
    : sent.client_assertion ? "private_key_jwt" : sent.client_secret ? "post" : "none";
  const { response_type, scope, prompt, grant_type, redirect_uri, code_challenge_method, post_logout_redirect_uri } = params;
  return {
    route: oidc.route, status, client: client?.clientId, authentication, error: body?.error,
    response_type, scope, prompt, grant_type, redirect_uri, code_challenge_method, post_logout_redirect_uri,
    nonce: params.nonce !== undefined, state: params.state !== undefined,
  };
}

async function revoke(provider, person) {
  for (const id of person.grants) await (await provider.Grant.find(id))?.destroy();
  for (const uid of person.sessions) await (await provider.Session.findByUid(uid))?.destroy();
  person.grants.clear();
  person.sessions.clear();
}

const FOR_PROGRAMS = ["/.well-known/openid-configuration", "/jwks", "/token", "/me"];
let ailing = false;

async function obey(command, provider, people, seen) {
  if (command.seen) return { seen: seen.splice(0) };
  if (command.ailing !== undefined) ailing = command.ailing;
  else if (command.remove) people.named(command.remove).gone = true;
  else if (command.restore) people.named(command.restore).gone = false;
  else if (command.claims) Object.assign(people.named(command.claims).claims, command.set);
  else if (command.revoke) await revoke(provider, people.named(command.revoke));
  else throw new Error(`unknown command ${JSON.stringify(command)}`);
  return { done: true };
}

function serve(settings, people, seen) {
  const issuer = `http://${settings.host ?? "127.0.0.1"}:${settings.port}`;
  const provider = new Provider(issuer, configuration(settings, people));
  provider.use(async (context, next) => {
    await next();
    if (context.oidc?.route) seen.push(noted(context));
  });
  provider.on("server_error", (_, error) => console.error(error));
  const answer = provider.callback();
  const handle = (request, response) => {
    if (ailing && FOR_PROGRAMS.includes(request.url.split("?")[0])) return response.writeHead(500).end("ailing");
    if (!request.url.startsWith("/interaction/")) return answer(request, response);
    return interact(provider, people, request, response).catch((error) => {
      console.error(error);
      response.writeHead(error instanceof errors.OIDCProviderError ? 400 : 500, { "content-type": "text/html; charset=utf-8" });
      response.end(html("Provider: error", `<p role="alert">${escaped(error.message)}</p>`));
    });
  };
  const listening = new Promise((resolve, reject) => {
    createServer(handle).on("error", reject).listen(settings.port, "127.0.0.1", resolve);
  });
  return listening.then(() => ({ issuer, provider }));
}

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const seen = [];
let people;
let provider;
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const message = JSON.parse(line);
    if (provider) {
      say(await obey(message, provider, people, seen));
    } else {
      people = new People(message.accounts);
      const started = await serve(message, people, seen);
      provider = started.provider;
      say({ issuer: started.issuer });
    }
  } catch (error) {
    say({ failed: error.message });
  }
}
process.exit(0);
