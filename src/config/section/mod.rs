//! The sections of the configuration, one file each.

mod log;
mod oauth_server;
mod server;
mod storage;
mod upstream;

pub use log::{Log, LogFormat, LogOutput};
pub use oauth_server::{
    Branding, BuiltinUser, Lockout, OauthServer, PasswordSource, Registration, Signing, SigningAlgorithm,
};
pub use server::{Endpoint, EndpointAuth, RateLimit, Server, Session};
pub use storage::Storage;
pub use upstream::{
    BuiltinServer, Command, HttpUpstream, InheritEnv, RestartPolicy, ToolRule, Upstream, UpstreamAuth, UpstreamKind,
};
