//! Kinds of values that the specifications or the operating system restrict, each with its own rules and fixes.

pub mod header;
pub mod key_file;
pub mod name;
pub mod password_hash;
pub mod redirect_uri;
pub mod scope;
pub mod template;
pub mod url;
