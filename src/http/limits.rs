//! Every bound of requests as HTTP, for the operator: the constants as they stand beside their code, and what is configured.

use crate::base::limit::Limit;
use crate::config::section::Server;
use crate::http::{body, cookie, head, stream};

/// All of them.
#[must_use]
pub fn limits(server: &Server) -> Vec<Limit> {
    let read = server.read_timeout;
    let configured = [
        Limit::time("request head", read, "408, the connection ends").set_by("server.read_timeout"),
        Limit::time("pause in a request body", read, "408, the connection ends").set_by("server.read_timeout"),
        Limit::time("whole request body", read * body::PAUSES, "408, the connection ends")
            .set_by("server.read_timeout"),
        Limit::bytes("body of an MCP request", server.max_request_body, "413, the connection ends")
            .set_by("server.max_request_body"),
        Limit::time("connection without a request", server.idle_timeout, "it is closed").set_by("server.idle_timeout"),
        Limit::time("client that reads nothing of its stream", server.write_timeout, "it is cut off")
            .set_by("server.write_timeout"),
        Limit::time("silence on a stream", server.sse_keepalive_interval, "a comment is sent")
            .set_by("server.sse_keepalive_interval"),
        Limit::time(
            "one request, after its last progress",
            server.request_timeout,
            "it is cancelled; a JSON-RPC error",
        )
        .set_by("server.request_timeout"),
    ];
    [&head::LIMITS[..], &configured, &body::LIMITS, &cookie::LIMITS, &stream::LIMITS].concat()
}
