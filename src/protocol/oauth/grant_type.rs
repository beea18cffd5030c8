//! The words of `grant_type`. [RFC 6749 §4](https://www.rfc-editor.org/rfc/rfc6749#section-4), [RFC 7523 §2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1)

/// A code that a person's browser brought.
pub const AUTHORIZATION_CODE: &str = "authorization_code";
/// A refresh token.
pub const REFRESH_TOKEN: &str = "refresh_token";
/// The client acts for itself.
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
/// An assertion about a person, signed by somebody who is trusted here.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The one profile of [`JWT_BEARER`] that is taken, as the metadata name it (EMA §6).
pub const ID_JAG_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";
