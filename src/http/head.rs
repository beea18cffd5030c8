//! How large the head of a request may be. actix takes more, and says 400 to a target that it finds too long.

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;

use crate::base::limit::Limit;
use crate::http::answer;

/// The longest request target, in bytes: twice the longest authorization request, so that one too long gets its page.
pub const MAX_TARGET: usize = 16 * 1024;
/// The most header fields of a request. actix holds no more.
pub const MAX_FIELDS: usize = 96;
/// The longest header fields of a request, names and values together, in bytes.
pub const MAX_FIELD_BYTES: usize = 32 * 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 3] = [
    Limit::bytes("request target", MAX_TARGET, "414, from 64 KiB on 400; the connection ends"),
    Limit::count("header fields of a request", MAX_FIELDS, "431, the connection ends"),
    Limit::bytes("header fields of a request, together", MAX_FIELD_BYTES, "431, the connection ends"),
];

/// What is answered to a request with too much of one of them. Nothing of it has been looked at, so it ends the connection.
pub fn check(request: &ServiceRequest) -> Result<(), HttpResponse> {
    let (status, text) = if request.path().len() + request.query_string().len() > MAX_TARGET {
        (StatusCode::URI_TOO_LONG, "the address is too long")
    } else if request.headers().len() > MAX_FIELDS {
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "there are too many header fields")
    } else if field_bytes(request) > MAX_FIELD_BYTES {
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the header fields are too long")
    } else {
        return Ok(());
    };
    let mut response = answer::message(status, "invalid_request", text);
    response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
    Err(response)
}

fn field_bytes(request: &ServiceRequest) -> usize {
    request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
