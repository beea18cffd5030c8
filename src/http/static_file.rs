//! Serving the embedded files.

use actix_web::http::header;
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};

use crate::http::answer;
use crate::http::assets;
use crate::http::live::Current;

/// `GET /static/{file}`, below the path of the issuer.
pub async fn get(request: HttpRequest, file: Path<String>, state: Current) -> HttpResponse {
    let found = if file.as_str() == "theme.css" {
        Some(state.authorization().pages.theme.clone())
    } else {
        assets::find(&file)
    };
    let Some(asset) = found else { return answer::not_found().await };
    let tag = request.headers().get(header::IF_NONE_MATCH);
    let mut response = match tag.is_some_and(|tag| tag.as_bytes() == asset.etag.as_bytes()) {
        true => HttpResponse::NotModified(),
        false => HttpResponse::Ok(),
    };
    response
        .insert_header((header::CONTENT_TYPE, asset.content_type))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::ETAG, asset.etag))
        .body(asset.bytes)
}
