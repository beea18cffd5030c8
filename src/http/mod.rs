//! The web: routes, handlers and pages. actix and askama live only here.

pub mod page;
pub mod assets;
