//! Form-encoded parameters, read strictly. [RFC 6749 §3.1, §3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.1)

use crate::base::limit::Limit;

/// How many parameters a request may have.
const MOST: usize = 64;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::count("parameters of one form or query", MOST, "400")];

/// The parameters of one request, in order, repeats included.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

/// The request's parameters cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parameters are not valid application/x-www-form-urlencoded UTF-8")]
pub struct Malformed;

/// A parameter came more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parameter {0} was sent more than once")]
pub struct Repeated(pub &'static str);

impl Parameters {
    /// Reads a query string or a form body.
    ///
    /// # Errors
    /// Wrong percent-encoding, bytes that are not UTF-8, a NUL, or more than 64 parameters. A lenient reader would
    /// replace what it cannot read, and then two programs could see two different values.
    pub fn parse(encoded: &[u8]) -> Result<Self, Malformed> {
        let mut parameters = Vec::new();
        for pair in encoded.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == MOST {
                return Err(Malformed);
            }
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default()),
                None => (pair, &[][..]),
            };
            parameters.push((decode(name)?, decode(value)?));
        }
        Ok(Self(parameters))
    }

    /// The value of `name`. RFC 6749 §3.1: a parameter without a value is treated as if it were omitted.
    ///
    /// # Errors
    /// RFC 6749 §3.1: parameters MUST NOT be included more than once.
    pub fn one(&self, name: &'static str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Repeated(name));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// Whether a parameter other than `except` came more than once, whether it is known or not.
    #[must_use]
    pub fn repeats_beside(&self, except: &str) -> bool {
        let is_repeat = |at: usize, name: &str| self.0.iter().take(at).any(|(before, _)| before == name);
        self.0.iter().enumerate().any(|(at, (name, _))| name != except && is_repeat(at, name))
    }

    /// Every value of `name`, of a form where several are ticked.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether `name` was sent at all, with or without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

/// A form-encoded text; `None` when it cannot be one.
#[must_use]
pub fn decoded(text: &str) -> Option<String> {
    decode(text.as_bytes()).ok()
}

fn decode(encoded: &[u8]) -> Result<String, Malformed> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hexadecimal(rest.next())? << 4 | hexadecimal(rest.next())?,
            other => *other,
        });
    }
    if bytes.contains(&0) {
        return Err(Malformed);
    }
    String::from_utf8(bytes).map_err(|_| Malformed)
}

fn hexadecimal(digit: Option<&u8>) -> Result<u8, Malformed> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_is_an_omitted_one_and_a_repeat_is_a_fault() {
        let parameters = Parameters::parse(b"a=1&b=&c=x%20y+z&c=2&d").unwrap();
        assert_eq!(parameters.one("a"), Ok(Some("1")));
        assert_eq!(parameters.one("b"), Ok(None));
        assert_eq!(parameters.one("c"), Err(Repeated("c")));
        assert!(parameters.has("d") && !parameters.has("e"));
    }

    #[test]
    fn what_cannot_be_read_exactly_is_refused() {
        for encoded in [&b"a=%zz"[..], b"a=%2", b"a=%ff", b"a=\xff", b"a=%00", "a=1&".repeat(65).as_bytes()] {
            assert!(Parameters::parse(encoded).is_err(), "{encoded:?}");
        }
    }
}
