// node --import bearer.mjs …: every HTTP request to MCP_ORIGIN carries the bearer token MCP_TOKEN.
//
// For programs that know no authorization, as the conformance suite. They ask in three ways: fetch, the package undici, node:http.
// All three announce a request on a diagnostics channel before it is sent; that is less to go wrong than wrapping each of them.

import { channel } from "node:diagnostics_channel";

const { MCP_ORIGIN, MCP_TOKEN } = process.env;
const value = `Bearer ${MCP_TOKEN}`;

// fetch and undici
channel("undici:request:create").subscribe(({ request }) => {
  if (String(request.origin) === MCP_ORIGIN) request.addHeader("authorization", value);
});

// node:http
channel("http.client.request.created").subscribe(({ request }) => {
  if (`${request.protocol}//${request.getHeader("host")}` === MCP_ORIGIN) request.setHeader("authorization", value);
});
