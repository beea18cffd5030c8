//! Whether the process lives, and whether it can do its work.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde_json::json;

use crate::http::answer;
use crate::http::live::{Current, Live};

/// `GET /healthz`: the process answers.
pub async fn live() -> HttpResponse {
    answer::private_json(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// `GET /readyz`: 503 when the bridge was told to stop, or an upstream that is required is down. Others may be down: the rest
/// still works.
///
/// Names are not told: who asks is not known.
pub async fn ready(live: Data<Live>, state: Current) -> HttpResponse {
    if live.is_stopping() {
        return answer::private_json(StatusCode::SERVICE_UNAVAILABLE, r#"{"ready":false,"reason":"the bridge stops"}"#);
    }
    let upstreams = state.bridge.status();
    let down = upstreams.iter().filter(|upstream| !upstream.is_up).count();
    let ready = upstreams.iter().all(|upstream| upstream.is_up || !upstream.is_required);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reason = match (ready, down) {
        (true, 0) => "everything is up".to_owned(),
        (true, down) => format!("{down} of {} upstreams are down and being retried", upstreams.len()),
        (false, _) => "an upstream that is required is down and being retried".to_owned(),
    };
    answer::private_json(status, json!({"ready": ready, "reason": reason}).to_string())
}
