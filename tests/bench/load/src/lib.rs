//! What the benchmark's server and its load share: HTTP/1.1 messages over one connection, and a small MCP server.

pub mod echo;
pub mod http;

/// The value of a command-line option, as in `--name value`.
#[must_use]
pub fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

/// The value of a command-line option as a number, or what it is without the option.
///
/// # Errors
/// The value is no number of that kind.
pub fn number<T: std::str::FromStr>(name: &str, otherwise: T) -> Result<T, String> {
    match option(name) {
        None => Ok(otherwise),
        Some(text) => text.parse().map_err(|_| format!("{name}: {text} is no number")),
    }
}
