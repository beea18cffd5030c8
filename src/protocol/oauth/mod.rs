//! OAuth 2.1 and its companions: the words of RFC 6749, 6750, 7009, 7591, 7636, 8414, 8707, 9068, 9207 and 9728.

pub mod claims;
pub mod scope;
