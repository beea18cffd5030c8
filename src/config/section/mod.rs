//! The sections of the configuration, one file each.

mod builtin;
mod command;
mod federated;
mod http_upstream;
mod isolation;
mod log;
mod metadata_documents;
mod mode;
mod oauth_server;
mod server;
mod signing;
mod static_client;
mod storage;
mod tls;
mod upstream;

pub use crate::config::value::template::{FillFault, Variable};
pub use builtin::{Branding, BuiltinUser, Lockout, PasswordSource};
pub use command::{ChildStderr, Command, InheritEnv, RestartPolicy};
pub use federated::{Admission, ClientAuthentication, Dialect, Provider};
pub use http_upstream::{HttpProtocol, HttpUpstream, UpstreamAuth};
pub use isolation::Isolation;
pub use log::{Log, LogFormat, LogOutput};
pub use metadata_documents::MetadataDocuments;
pub use mode::Mode;
pub use oauth_server::{OauthServer, Registration};
pub(super) use server::ServerSection;
pub use server::{Endpoint, EndpointAuth, RateLimit, Server, Session, ToolSearch};
pub use signing::{AdditionalKey, Signing, SigningAlgorithm};
pub use static_client::{StaticAuthentication, StaticClient};
pub use storage::Storage;
pub use tls::UpstreamTls;
pub(super) use upstream::read_all as read_upstreams;
pub use upstream::{BuiltinServer, ToolRule, Upstream, UpstreamEra, UpstreamKind};
