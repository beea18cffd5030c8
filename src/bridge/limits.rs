//! Every bound of the bridge, for the operator: the constants as they stand beside their code, and what is configured.

use crate::base::limit::Limit;
use crate::bridge::mailbox;
use crate::bridge::stateless::{filter, listener, parked, take};
use crate::bridge::upstream::stateless::{inquiry, listening, probe};
use crate::bridge::upstream::{
    self, call, calls, child, elicited, inbound, lines, pass, remote, sse, stdin, streamable_http, wire,
};
use crate::bridge::{catalog, load, merge, pool, post, reload, session, sessions, streams, subscribe, tool_search};
use crate::config::section::{self, UpstreamKind};
use crate::protocol::mcp::message;
use crate::protocol::mcp::passing;

/// All of them, in the order in which a request meets them.
#[must_use]
pub fn limits(settings: &section::Session, upstreams: &[section::Upstream]) -> Vec<Limit> {
    let of_calls = [&message::LIMITS[..], &post::LIMITS, &load::LIMITS, &calls::LIMITS, &call::LIMITS].concat();
    let of_streams = [
        &mailbox::LIMITS[..],
        &mailbox::KEPT_LIMITS,
        &session::LIMITS,
        &session::KEPT_LIMITS,
        &streams::LIMITS,
        &listener::LIMITS,
        &filter::LIMITS,
        &parked::LIMITS,
        &take::LIMITS,
    ];
    let of_lists = [
        &upstream::LIMITS[..],
        &merge::LIMITS,
        &upstream::LIST_LIMITS,
        &catalog::LIMITS,
        &subscribe::LIMITS,
        &tool_search::LIMITS,
        &reload::LIMITS,
    ];
    let of_upstreams = [
        &stdin::LIMITS[..],
        &wire::LIMITS,
        &lines::LIMITS,
        &child::LIMITS,
        &child::RAW_LIMITS,
        &child::REPORT_LIMITS,
        &child::keeper::LIMITS,
        &inbound::LIMITS,
        &elicited::LIMITS,
        &remote::LIMITS,
        &pass::LIMITS,
        &passing::LIMITS,
        &streamable_http::LIMITS,
        &sse::LIMITS,
        &probe::LIMITS,
        &listening::LIMITS,
        &inquiry::LIMITS,
    ];
    let of_the_isolated = pool::Limits::default().shown();
    let configured = upstreams.iter().flat_map(of_upstream);
    let all = [
        of_calls,
        of_sessions(settings),
        of_streams.concat(),
        of_lists.concat(),
        of_upstreams.concat(),
        of_the_isolated,
    ];
    all.concat().into_iter().chain(configured).collect()
}

fn of_sessions(settings: &section::Session) -> Vec<Limit> {
    let one = |limit: Limit, key: &'static str| limit.none_if_zero().set_by(format!("server.session.{key}"));
    let mut all = vec![
        one(
            Limit::time(
                "session without a request or an open stream",
                settings.timeout,
                "404; the client initializes anew",
            ),
            "timeout",
        ),
        one(
            Limit::count("sessions, in all", settings.max_sessions, "the least used that is idle ends, else 503"),
            "max_sessions",
        ),
        one(
            Limit::count("sessions of one app of a person", settings.max_per_principal, "the least used ends"),
            "max_per_principal",
        ),
        one(
            Limit::count("open streams of one person", settings.max_streams_per_user, "429, Retry-After"),
            "max_streams_per_user",
        ),
        // 0 is a bound here: nothing is kept.
        Limit::count("events kept of one stream for resumption", settings.replay_events, "the oldest is forgotten")
            .set_by("server.session.replay_events"),
    ];
    all.extend(sessions::LIMITS);
    all
}

fn of_upstream(upstream: &section::Upstream) -> Vec<Limit> {
    let one = |limit: Limit, key: &str| limit.set_by(format!("upstreams.{}.{key}", upstream.name));
    let mut all = vec![one(
        Limit::time(
            "answer of an upstream, after its last progress",
            upstream.timeout,
            "it is cancelled; a JSON-RPC error",
        ),
        "timeout",
    )];
    match &upstream.kind {
        UpstreamKind::Builtin(_) => {}
        UpstreamKind::Http(http) => {
            all.push(one(
                Limit::time("connection to an upstream, with TLS", http.connect_timeout, "the call fails"),
                "connect_timeout",
            ));
        }
        UpstreamKind::Stdio(command) => {
            let (stop, again) = (
                command.graceful_shutdown_timeout,
                command.restart.max_restarts.and_then(|most| usize::try_from(most).ok()),
            );
            all.push(one(
                Limit::time(
                    "start of a child, to its answer to initialize",
                    command.startup_timeout,
                    "it is started anew",
                ),
                "startup_timeout",
            ));
            all.push(one(
                Limit::time("end of a child, to SIGTERM and again to SIGKILL", stop, "the next step is taken"),
                "graceful_shutdown_timeout",
            ));
            all.push(one(
                Limit::time(
                    "pause before a child is started again, at first",
                    command.restart.delay,
                    "twice as long each time",
                ),
                "restart_delay",
            ));
            all.push(one(
                Limit::time("pause before a child is started again, at most", command.restart.max_delay, "no longer"),
                "max_restart_delay",
            ));
            all.push(one(
                Limit::count("starts of a child in a row", again.unwrap_or(0), "it stays down").none_if_zero(),
                "max_restarts",
            ));
        }
    }
    all
}
