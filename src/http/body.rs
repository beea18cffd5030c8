//! Reading a request's body, with a bound on its size and on the time it may take. actix bounds neither.

use std::future::poll_fn;
use std::task::{Context, Waker};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;

use crate::base::limit::Limit;
use crate::base::patience::within;

/// The longest form or client metadata document, in bytes.
pub const SMALL: usize = 64 * 1024;
/// How many times `server.read_timeout`, which is the longest pause, the whole body may take.
pub const PAUSES: u32 = 2;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::bytes("form, or metadata of a client", SMALL, "413, the connection ends")];

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// Longer than allowed: 413.
    TooLarge,
    /// Slower than allowed: 408.
    TooSlow,
    /// The connection or its framing broke: 400.
    Broken,
}

/// Reads a body of at most `limit` bytes that pauses nowhere for longer than `pause`, within [`PAUSES`] times that.
///
/// # Errors
/// [`BodyFault`].
pub async fn read(
    request: &HttpRequest,
    mut payload: Payload,
    limit: usize,
    pause: Duration,
) -> Result<Bytes, BodyFault> {
    check_head(request.headers(), limit)?;
    let mut next = async || within(pause, piece(&mut payload)).await.ok_or(BodyFault::TooSlow);
    let reading = async {
        let first = match next().await? {
            None => return Ok(Bytes::new()),
            Some(chunk) => checked(chunk, 0, limit)?,
        };
        let Some(second) = next().await? else { return Ok(first) };
        let mut whole = BytesMut::from(first);
        let mut chunk = Some(second);
        while let Some(piece) = chunk {
            let piece = checked(piece, whole.len(), limit)?;
            whole.extend_from_slice(&piece);
            chunk = next().await?;
        }
        Ok(whole.freeze())
    };
    within(pause * PAUSES, reading).await.unwrap_or(Err(BodyFault::TooSlow))
}

/// The next piece of a body.
///
/// Nobody asks to be woken for it. A payload is fed by its connection, of whose task the handler is a part, and which asks its
/// handler again whenever it has fed it. A waker would only have that task take another turn for each piece, for nothing.
/// So a body has to be read in its handler: a task of its own would wait until its time is over.
async fn piece(payload: &mut Payload) -> Option<Result<Bytes, PayloadError>> {
    poll_fn(|_| payload.poll_next_unpin(&mut Context::from_waker(Waker::noop()))).await
}

/// What the head alone says of a body that is not to be waited for.
fn check_head(headers: &HeaderMap, limit: usize) -> Result<(), BodyFault> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    // RFC 9110 §7.8: we switch to no other protocol. actix takes all that follows such a head for its content.
    if text(header::UPGRADE).is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
        return Err(BodyFault::Broken);
    }
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    match declared.map(usize::try_from) {
        Some(length) if length.is_ok_and(|length| length <= limit) => Ok(()),
        None => Ok(()),
        Some(_) => Err(BodyFault::TooLarge),
    }
}

fn checked<E>(chunk: Result<Bytes, E>, before: usize, limit: usize) -> Result<Bytes, BodyFault> {
    let chunk = chunk.map_err(|_| BodyFault::Broken)?;
    if before + chunk.len() > limit { Err(BodyFault::TooLarge) } else { Ok(chunk) }
}

/// Whether the request declares this media type, in UTF-8 and not compressed.
#[must_use]
pub fn is(request: &HttpRequest, media_type: &str) -> bool {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let encoded = headers.contains_key(header::CONTENT_ENCODING) && text(header::CONTENT_ENCODING) != Some("identity");
    let Some(content_type) = text(header::CONTENT_TYPE) else { return false };
    let mut parts = content_type.split(';').map(str::trim);
    let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
    let readable = parts.filter_map(|part| part.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    named && readable && !encoded
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use actix_web::dev::ServerHandle;
    use actix_web::web::Data;
    use actix_web::{App, HttpResponse, HttpServer, web};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    /// When a body was read, and when its handler may answer.
    #[derive(Default)]
    struct Steps {
        read: Notify,
        go: Notify,
    }

    /// Reads a body, and answers with how often it was asked for the answer until it had it, and how long the body is.
    async fn post(request: HttpRequest, payload: Payload, steps: Data<Steps>) -> HttpResponse {
        let body = read(&request, payload, 1 << 20, Duration::from_secs(5)).await;
        steps.read.notify_one();
        let (mut asked, mut go) = (0, pin!(steps.go.notified()));
        poll_fn(|context| {
            asked += 1;
            go.as_mut().poll(context)
        })
        .await;
        HttpResponse::Ok().body(format!("{asked} {:?}", body.map(|body| body.len())))
    }

    /// A server of one thread, which has all connections.
    fn serve() -> (String, ServerHandle, Data<Steps>) {
        let steps = Data::new(Steps::default());
        let shared = steps.clone();
        let app = move || {
            let routes = web::resource("/").route(web::post().to(post)).route(web::get().to(HttpResponse::Ok));
            App::new().app_data(shared.clone()).service(routes)
        };
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0].to_string();
        let running = server.run();
        let handle = running.handle();
        tokio::spawn(running);
        (address, handle, steps)
    }

    fn request(method: &str, connection: &str, body: &str) -> String {
        let length = body.len();
        format!("{method} / HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nContent-Length: {length}\r\n\r\n{body}")
    }

    async fn send(address: &str, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// All that comes until the connection ends.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        timeout(Duration::from_secs(20), stream.read_to_string(&mut text)).await.expect("an answer").unwrap();
        text
    }

    #[tokio::test]
    async fn a_body_that_comes_with_its_head_takes_its_connection_no_further_turn() {
        let (address, handle, steps) = serve();
        let asking = send(&address, &request("POST", "close", "abc")).await;
        timeout(Duration::from_secs(20), steps.read.notified()).await.expect("the body is read");
        // When this one is answered, the other has had its turn.
        rest(send(&address, &request("GET", "close", "")).await).await;
        steps.go.notify_one();
        let answer = rest(asking).await;
        assert!(
            answer.ends_with("2 Ok(3)"),
            "once when the body was there, once when there was something to do: {answer}"
        );
        handle.stop(false).await;
    }

    #[tokio::test]
    async fn a_body_for_which_there_was_no_room_is_read_when_its_turn_comes() {
        let (address, handle, steps) = serve();
        let first = request("POST", "keep-alive", "abc");
        // More than actix takes from a connection before somebody reads it.
        let second = request("POST", "close", &"x".repeat(500_000));
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let write = async { writing.write_all(format!("{first}{second}").as_bytes()).await.unwrap() };
        let mut answers = String::new();
        let read = async { reading.read_to_string(&mut answers).await.unwrap() };
        let go = async {
            for _ in 0..2 {
                steps.read.notified().await;
                rest(send(&address, &request("GET", "close", "")).await).await;
                steps.go.notify_one();
            }
        };
        timeout(Duration::from_secs(20), async { tokio::join!(write, read, go) }).await.expect("both are answered");
        assert!(answers.contains(" Ok(3)HTTP/1.1 200") && answers.ends_with(" Ok(500000)"), "{answers}");
        handle.stop(false).await;
    }
}
