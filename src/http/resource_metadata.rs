//! The protected resource's own metadata. [RFC 9728 §3](https://www.rfc-editor.org/rfc/rfc9728#section-3)

use actix_web::HttpResponse;

use crate::http::answer;
use crate::http::live::Current;

/// `GET /.well-known/oauth-protected-resource`, plain and with the endpoint's path inserted.
pub async fn get(state: Current) -> HttpResponse {
    match &state.resource_server {
        Some(server) => answer::public_json(server.metadata()),
        None => answer::not_found().await,
    }
}
