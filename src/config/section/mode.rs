//! `server.oauth_server.mode`.

/// `mode`: where people log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `builtin`: here, with a password.
    Builtin,
    /// `federated`: at an identity provider.
    Federated,
    /// `both`, as they choose.
    Both,
}

impl Mode {
    /// As it is written.
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("builtin", Self::Builtin), ("federated", Self::Federated), ("both", Self::Both)];
}
