#!/usr/bin/env node
// Headless Chromium in the place of the person: logs in and decides, or takes pictures of every page and examines it.
//
//   browser.mjs authorize    one authorization request up to the client's redirect URI
//   browser.mjs pictures     login, wrong password, consent, returning, error, the account and its password: at two widths, in light and dark, with axe-core
//
// Both read one JSON object from standard input and write one to standard output; see the functions below for its members.
// steps.mjs uses what is exported here. Exit code 1: what went wrong is on standard error. Environment: TEST_TOOLS (tests/.tools), CHROMIUM (/usr/bin/chromium).

import { createRequire } from "node:module";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const tools = process.env.TEST_TOOLS ?? join(dirname(fileURLToPath(import.meta.url)), "../.tools");
const require = createRequire(join(tools, "npm/package.json"));
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const patience = Number(process.env.TEST_PATIENCE ?? "30") * 1000;

export class Failure extends Error {}

// A browser with a directory of its own; with `profile` it remembers cookies from one run to the next.
export async function withBrowser({ profile, options = {} }, use) {
  const directory = profile ?? mkdtempSync(join(tmpdir(), "mcp-bridge-chromium-"));
  const context = await chromium.launchPersistentContext(directory, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ...options,
  });
  try {
    return await use(context);
  } finally {
    await context.close();
    if (!profile) rmSync(directory, { recursive: true, force: true });
  }
}

// Collects what a browser complains about: violations of the content security policy, scripts that throw, parts of a page that do not load.
export function watch(page, origin) {
  const complaints = [];
  page.on("console", (message) => {
    const text = message.text();
    if (/content security policy|violates|refused to|mixed content/i.test(text)) complaints.push(`console: ${text}`);
  });
  page.on("pageerror", (error) => complaints.push(`script: ${error.message}`));
  page.on("response", (response) => {
    if (!response.request().isNavigationRequest() && response.url().startsWith(origin) && response.status() >= 400) {
      complaints.push(`${response.status()} for ${response.url()}`);
    }
  });
  page.on("requestfailed", (request) => {
    if (!request.isNavigationRequest()) complaints.push(`${request.failure()?.errorText} for ${request.url()}`);
  });
  return complaints;
}

// What the page in front of the person is. `marked`: it is still the one whose button was pressed.
function look(page) {
  return page.evaluate(() => ({
    marked: window.__pressed === true,
    ready: document.readyState !== "loading",
    login: document.querySelector("input[name=username]") !== null && document.querySelector("input[type=password][name=password]") !== null,
    consent: document.querySelector("button[name=decision][value=allow]") !== null,
    alert: document.querySelector("[role=alert]")?.textContent.trim() ?? "",
    text: document.body?.innerText.replace(/\s+/g, " ").slice(0, 600) ?? "",
  }));
}

// Waits until `accept(view)` likes what there is, and answers it. Looking again on a page under way is normal.
async function settled(page, accept, what) {
  const deadline = Date.now() + patience;
  let view;
  while (Date.now() < deadline) {
    try {
      view = { url: page.url(), ...(await look(page)) };
      if (view.ready && !view.marked && accept(view)) return view;
    } catch (error) {
      if (page.isClosed()) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Failure(`waited ${patience / 1000} s for ${typeof what === "function" ? what() : what}; the page is ${page.url()}: ${view?.text}`);
}

async function press(page, selector) {
  await page.evaluate(() => { window.__pressed = true; });
  await page.locator(selector).first().click({ noWaitAfter: true });
}

async function logIn(page, username, password) {
  await page.fill("input[name=username]", username);
  await page.fill("input[name=password]", password);
  await press(page, "form:has(input[name=password]) [type=submit]");
}

// { url, username, password, decision = "allow", profile?, javascript = true }
//   → { pages: ["login", "consent", …], url: "the redirect URI as it was visited" }
async function authorize({ url, username, password, decision = "allow", profile, javascript = true }) {
  const redirectUri = new URL(url).searchParams.get("redirect_uri");
  return withBrowser({ profile, options: { javaScriptEnabled: javascript } }, async (context) => {
    const page = context.pages()[0] ?? (await context.newPage());
    const complaints = watch(page, new URL(url).origin);
    const isReturn = (request) => request.isNavigationRequest() && request.url().startsWith(redirectUri);
    const returned = page.waitForRequest(isReturn, { timeout: 3 * patience }).then((request) => request.url());
    returned.catch(() => {});
    let arrived;
    returned.then((value) => { arrived = value; }, () => {});
    const pages = [];
    await page.goto(url).catch((error) => { if (!arrived) throw error; });
    for (let step = 0; step < 6 && !arrived; step += 1) {
      const view = await settled(
        page,
        (seen) => arrived || seen.login || seen.consent,
        () => `a login page, a consent page or the redirect to ${redirectUri}, after ${pages.join(", ") || "nothing"} (the browser: ${complaints.join("; ") || "no complaint"})`,
      );
      if (arrived) break;
      const kind = view.login ? "login" : "consent";
      if (pages.includes(kind)) throw new Failure(`the ${kind} page came a second time: ${view.alert || view.text}`);
      pages.push(kind);
      // A profile that is used again is a browser of which the person wants to be known.
      if (view.login && profile) await page.check("input[name=stay]");
      if (view.login) await logIn(page, username, password);
      else await press(page, `button[name=decision][value=${decision}]`);
    }
    const address = await returned;
    await page.waitForLoadState("domcontentloaded").catch(() => {});
    if (complaints.length > 0) throw new Failure(`the browser complained: ${complaints.join("; ")}`);
    return { pages, url: address };
  });
}

export async function examine(page, name, shot, problems) {
  await page.screenshot({ path: shot, fullPage: true });
  await page.evaluate(axeSource);
  const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const violation of result.violations) {
    problems.push(`${name}: axe ${violation.id} (${violation.impact}): ${violation.help}: ${violation.nodes.map((node) => node.target.join(" ")).join(", ")}`);
  }
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wider > 0) problems.push(`${name}: the page is ${wider} px wider than the window`);
}

const VARIANTS = [
  { name: "phone-light", viewport: { width: 390, height: 844 }, colorScheme: "light" },
  { name: "phone-dark", viewport: { width: 390, height: 844 }, colorScheme: "dark" },
  { name: "desktop-light", viewport: { width: 1280, height: 800 }, colorScheme: "light" },
  { name: "desktop-dark", viewport: { width: 1280, height: 800 }, colorScheme: "dark" },
];

// { urls: [one authorization request a variant, each of a client of its own], error_url, site_url: of one whose redirect URI is a site, username, password, directory }
//   → { pictures: [path, …], problems: [text, …] }
async function pictures({ urls, error_url, site_url, username, password, directory }) {
  mkdirSync(directory, { recursive: true });
  const taken = [];
  const problems = [];
  for (const [index, { name, ...options }] of VARIANTS.entries()) {
    await withBrowser({ options }, async (context) => {
      const page = context.pages()[0] ?? (await context.newPage());
      const url = urls[index];
      const redirectUri = new URL(url).searchParams.get("redirect_uri");
      const complaints = watch(page, new URL(url).origin);
      const picture = async (kind) => {
        const path = join(directory, `${kind}-${name}.png`);
        await examine(page, `${kind} ${name}`, path, problems);
        taken.push(path);
      };
      // A client that answers 204 leaves the browser where it is: the page that sent it there can be looked at.
      let visits = 0;
      await page.route((address) => address.href.startsWith(redirectUri), async (route) => {
        visits += 1;
        await route.fulfill(visits === 1 ? { status: 204 } : { status: 200, contentType: "text/plain", body: "back at the client" });
      });
      await page.goto(url);
      await settled(page, (view) => view.login, "the login page");
      await picture("login");
      await logIn(page, username, `${password}-wrong`);
      const refused = await settled(page, (view) => view.login, "the login page after a wrong password");
      if (!refused.alert) problems.push(`wrong-password ${name}: no element with role=alert says what happened`);
      await picture("wrong-password");
      await logIn(page, username, password);
      const asked = await settled(page, (view) => view.consent, "the consent page");
      if (!asked.text.includes(new URL(redirectUri).hostname)) problems.push(`consent ${name}: the host of ${redirectUri} is not shown`);
      await picture("consent");
      // Who ticks nothing is asked again.
      for (const box of await page.locator("input[name=scope]").all()) await box.uncheck();
      await press(page, "button[name=decision][value=allow]");
      const unanswered = await settled(page, (view) => view.consent && view.alert, "the consent page after a yes to nothing");
      if (!unanswered.alert) problems.push(`consent-nothing ${name}: no element with role=alert says what happened`);
      await picture("consent-nothing");
      for (const box of await page.locator("input[name=scope]").all()) await box.check();
      const requested = page.waitForRequest((request) => request.url().startsWith(redirectUri), { timeout: patience });
      await press(page, "button[name=decision][value=allow]");
      await requested;
      await settled(page, (view) => !view.login && !view.consent && view.url.startsWith(new URL(url).origin), "the returning page");
      await picture("returning");
      // For whom the page does not move by itself there is something to press.
      await page.evaluate((start) => { [...document.links].find((link) => link.href.startsWith(start))?.click(); }, redirectUri);
      await page.waitForURL((address) => address.href.startsWith(redirectUri), { timeout: patience });
      await page.goto(error_url);
      const error = await settled(page, (view) => !view.login && !view.consent, "the error page");
      if (!error.text) problems.push(`error ${name}: the page is empty`);
      await picture("error");
      // The login of a moment ago still counts.
      const origin = new URL(url).origin;
      await page.goto(site_url);
      await settled(page, (view) => view.consent, "the consent page of a client with a site");
      await picture("consent-site");
      await page.goto(`${origin}/account`);
      await settled(page, (view) => view.text.includes("Connected apps"), "the account's page");
      await picture("account");
      await page.goto(`${origin}/account/password`);
      await settled(page, (view) => view.text.includes("New password"), "the page for a new password");
      await picture("password");
      await page.fill("input[name=old]", `${password}-wrong`);
      await page.fill("input[name=new]", "a battery and a staple");
      await page.fill("input[name=again]", "a battery and a staple");
      await press(page, "form button.primary");
      await settled(page, (view) => view.alert, "that page after a wrong password");
      await picture("password-wrong");
      await page.goto(`${origin}/account`);
      await press(page, "form[action$='/oauth/logout'] button");
      await settled(page, (view) => view.text.includes("signed out"), "the page after signing out");
      await page.waitForLoadState("load");
      await picture("signed-out");
      await page.goto(`${origin}/account`);
      await settled(page, (view) => view.login, "the login page of the account");
      await picture("account-login");
      problems.push(...complaints.map((complaint) => `${name}: ${complaint}`));
    });
  }
  return { pictures: taken, problems };
}

const modes = { authorize, pictures };
if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const mode = modes[process.argv[2]];
    if (!mode) throw new Failure(`usage: browser.mjs ${Object.keys(modes).join("|")} < input.json`);
    process.stdout.write(`${JSON.stringify(await mode(JSON.parse(readFileSync(0, "utf8"))))}\n`);
  } catch (error) {
    process.stderr.write(`browser.mjs: ${error instanceof Failure ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}
