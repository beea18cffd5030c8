//! What the benchmark's server and its load share: HTTP/1.1 messages over one connection, a small MCP server, and a look at processes.

pub mod call;
pub mod calls;
pub mod echo;
pub mod http;
pub mod posts;
pub mod process;
pub mod requests;
pub mod streams;
pub mod target;
pub mod tools;

/// What can go wrong with load: it ends, and says so.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The value of a command-line option, as in `--name value`.
#[must_use]
pub fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

/// Whether a command-line option without a value is there.
#[must_use]
pub fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}

/// The value of a command-line option as a number, or what it is without the option.
///
/// # Errors
/// The value is no number of that kind.
pub fn number<T: std::str::FromStr>(name: &str, otherwise: T) -> std::result::Result<T, String> {
    match option(name) {
        None => Ok(otherwise),
        Some(text) => text.parse().map_err(|_| format!("{name}: {text} is no number")),
    }
}
