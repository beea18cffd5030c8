//! `config.yaml`: from text to a [`Config`] that can be relied on, or to every fault at once.

pub mod section;

use std::path::PathBuf;

use crate::config::section::{Endpoint, Log, OauthServer, Server, Storage, Upstream};

/// A configuration in which everything was checked. Passed on as sections; there is no global.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of the file, against which relative paths are read.
    pub folder: PathBuf,
    /// `log`.
    pub log: Log,
    /// `server`, its limits and what guards every route.
    pub server: Server,
    /// `server.oauth_server`, when it is enabled.
    pub oauth_server: Option<OauthServer>,
    /// Where MCP is served.
    pub endpoint: Endpoint,
    /// `upstreams`, in the order of the file.
    pub upstreams: Vec<Upstream>,
    /// `storage`.
    pub storage: Storage,
    /// What is legal but deserves a word at start.
    pub warnings: Vec<String>,
}
