//! The pages a person sees on the way through login and consent: their words and shape, no decision and no request.
//!
//! Every page works without JavaScript and under this policy, which the routes send (`<logo>`: the origin of
//! `branding.logo_url`, when it is https): `default-src 'none'; style-src 'self'; img-src 'self' data: <logo>;
//! form-action 'self'; frame-ancestors 'none'; base-uri 'none'`. So there is no inline style, and a form never ends in a
//! redirect to a client, which Chrome would refuse under `form-action 'self'`: it ends in [`ReturningPage`].
//!
//! Forms send `csrf`, `decision` and, on the login page, `username` and `password`, or `provider`; on the consent page the
//! scopes that are ticked.

pub mod account;
pub mod away;
mod colour;
pub mod client_name;
pub mod consent;
pub mod error;
pub mod failed_login;
pub mod link;
pub mod login;
pub mod logout;
pub mod respond;
pub mod returning;
pub mod target;
pub mod theme;
pub mod when;

pub use account::{AccountPage, AppCard, BrowserCard, PasswordPage};
pub use away::AwayPage;
pub use client_name::ClientName;
pub use consent::{ConsentPage, ScopeLine, scope_lines};
pub use error::ErrorPage;
pub use failed_login::{FailedLoginPage, failed_login};
pub use link::Link;
pub use login::{LoginError, LoginPage};
pub use logout::{LogOutPage, LoggedOutPage};
pub use returning::{Answer, ReturningPage};
pub use target::{Target, redirect_target};
pub use theme::theme_css;
pub use when::When;

#[cfg(test)]
mod tests;
