#!/usr/bin/env node
// Headless Chromium that does one thing after another as it is told, so that something can happen in between: a bridge dies, a person is removed.
//
// The first line of standard input is one JSON object with the window ({ javascript?, viewport?, colorScheme?, origin }), each line after it is a
// step; every line gets one line of JSON on standard output. It ends when standard input ends.
//
//   { do: "open", url }                goes there
//   { do: "look" }                     what is in front of the person, see `look`; { busy: true } while a page is on its way
//   { do: "fill", fields }             selector → what is typed
//   { do: "press", selector }          a button or a link, the first that can be seen
//   { do: "hold", prefix }             addresses that begin so lead nowhere: the page that goes there stays; without prefix, no longer
//   { do: "visited", prefix }          where the browser went that begins so, redirects and what was held included: { visited }
//   { do: "picture", path, name }      a picture, and what axe-core and the layout have to object: { problems }
//   { do: "complaints" }               what the browser complained of since the last time, about pages of `origin`
//   { do: "cookies" }                  names and attributes of the cookies, without their values

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";

import { examine, watch, withBrowser } from "./browser.mjs";

// Everything that tells one page from another. `marked`: it is still the one where something was pressed.
function look(page) {
  return page.evaluate(() => {
    const text = (element) => element?.textContent.replace(/\s+/g, " ").trim() ?? "";
    const all = (selector, of) => [...document.querySelectorAll(selector)].map(of);
    return {
      url: location.href,
      busy: window.__pressed === true || document.readyState === "loading",
      title: document.title,
      heading: text(document.querySelector("h1")),
      alert: text(document.querySelector("[role=alert]")),
      fields: all("input:not([type=hidden])", (input) => input.name),
      buttons: all("button", (button) => ({ name: button.name, value: button.value, text: text(button) })),
      links: all("a[href]", (link) => ({ href: link.href, text: text(link) })),
      refresh: document.querySelector("meta[http-equiv=refresh i]")?.content ?? "",
      reference: text(document.querySelector("code")),
      text: document.body?.innerText.replace(/\s+/g, " ").slice(0, 2000) ?? "",
    };
  });
}

function steps(page, complaints) {
  let held;
  const visited = [];
  page.on("request", (request) => { if (request.isNavigationRequest()) visited.push(request.url()); });
  const stop = (route) => route.fulfill({ status: 204 });
  return {
    async open({ url }) {
      await page.goto(url, { waitUntil: "commit" });
      return {};
    },
    // A page that is replaced while it is looked at is no failure, it is on its way.
    look: () => look(page).catch((error) => ({ busy: true, why: error.message })),
    visited: ({ prefix }) => ({ visited: visited.filter((url) => url.startsWith(prefix)) }),
    async fill({ fields }) {
      for (const [selector, value] of Object.entries(fields)) await page.fill(selector, value);
      return {};
    },
    async press({ selector }) {
      await page.evaluate(() => { window.__pressed = true; });
      await page.locator(selector).locator("visible=true").first().click({ noWaitAfter: true });
      return {};
    },
    async hold({ prefix }) {
      if (held) await page.unroute(held, stop);
      held = prefix && ((address) => address.href.startsWith(prefix));
      if (held) await page.route(held, stop);
      return {};
    },
    async picture({ path, name }) {
      const problems = [];
      await page.evaluate(() => { window.__pressed = false; });
      mkdirSync(dirname(path), { recursive: true });
      await examine(page, name, path, problems);
      return { problems };
    },
    complaints: () => ({ complaints: complaints.splice(0) }),
    async cookies() {
      const cookies = await page.context().cookies();
      return { cookies: cookies.map(({ name, domain, path, httpOnly, secure, sameSite }) => ({ name, domain, path, httpOnly, secure, sameSite })) };
    },
  };
}

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { javascript = true, origin, ...window } = JSON.parse((await lines.next()).value);
await withBrowser({ options: { javaScriptEnabled: javascript, ...window } }, async (context) => {
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(Number(process.env.TEST_PATIENCE ?? "30") * 1000);
  const known = steps(page, watch(page, origin));
  say({});
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    try {
      const step = JSON.parse(line.value);
      if (!known[step.do]) throw new Error(`no step ${step.do}; there are: ${Object.keys(known).join(", ")}`);
      say(await known[step.do](step));
    } catch (error) {
      say({ failed: error.message });
    }
  }
});
