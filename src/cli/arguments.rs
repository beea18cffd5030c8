//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Puts any MCP server behind a browser login.
#[derive(Debug, Parser)]
#[command(name = "mcp-bridge", version, about)]
pub struct Arguments {
    /// The configuration file.
    #[arg(short, long, global = true, default_value = "config.yaml", value_name = "FILE")]
    pub config: PathBuf,
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the bridge.
    Serve,
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Read a password from standard input and print its hash.
    HashPassword(HashOptions),
    /// Print a new private key in PEM (PKCS#8).
    Keygen(KeygenOptions),
    /// Look at the keys that sign tokens, and replace them; safe beside a running bridge.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Manage users kept in the store; safe beside a running bridge.
    #[command(subcommand)]
    User(UserCommand),
    /// Manage clients; safe beside a running bridge.
    #[command(subcommand)]
    Client(ClientCommand),
    /// See and end what people and clients were granted; safe beside a running bridge.
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Read the trail of security events.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Ask the bridge of this configuration whether it is ready.
    Healthcheck,
}

/// How a password is hashed.
#[derive(Clone, Copy, Debug, Args)]
pub struct HashOptions {
    /// The algorithm of the hash.
    #[arg(long, value_enum, default_value = "bcrypt", value_name = "NAME")]
    pub algorithm: PasswordAlgorithm,
}

/// A password hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PasswordAlgorithm {
    /// Cost 12; passwords of up to 72 bytes.
    Bcrypt,
    /// 64 MiB, 3 passes (RFC 9106); every login takes as much from then on.
    Argon2id,
}

/// `config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the file and print every fault.
    Check {
        /// Warnings are faults too.
        #[arg(long)]
        strict: bool,
    },
    /// Print every key with its effective value, secrets redacted.
    Show {
        /// Print every bound there is instead: its value, what becomes of what is beyond it, and the key that sets it.
        #[arg(long)]
        limits: bool,
    },
    /// Print the JSON schema of the file, for editors.
    Schema,
}

/// `key …`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys that tokens are accepted of.
    ///
    /// Separated by tabs: kid, algorithm, `signs`, `next`, `before` or `additional`, since or from when, and the file. A key
    /// whose file is removed is gone within a second, with the tokens that it signed; the last one gone, a new one is made.
    List,
    /// Make the next key. It signs in an hour, when every server that keeps our keys knows it.
    Rotate {
        /// It signs in a few seconds: other servers may refuse tokens until they fetch our keys again.
        #[arg(long)]
        now: bool,
    },
}

/// `keygen …`
#[derive(Debug, Args)]
pub struct KeygenOptions {
    /// What the key signs with.
    #[arg(long, value_enum, default_value = "es256")]
    pub algorithm: Algorithm,
    /// Write to this file (mode 0600) instead of standard output. An existing file is not overwritten.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    /// RSA, 2048 bits.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    #[value(name = "eddsa")]
    EdDsa,
}

/// `user …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; the password is read from standard input.
    Add {
        /// The user name.
        name: String,
        /// What the user may grant, separated by spaces.
        #[arg(long, default_value = "mcp:read mcp:write")]
        scopes: String,
        /// An e-mail address.
        #[arg(long)]
        email: Option<String>,
        /// How the password is hashed.
        #[command(flatten)]
        hash: HashOptions,
    },
    /// List the users of the store, and the people who have logged in at an identity provider.
    ///
    /// Separated by tabs: name, `active` or `disabled`, scopes, e-mail address, and where the person logs in: `password` or
    /// the issuer of the identity provider. What people of providers may do follows from the configuration.
    List,
    /// Set a password, read from standard input, and log the user's apps out.
    Passwd {
        /// The user name.
        name: String,
        /// How the password is hashed.
        #[command(flatten)]
        hash: HashOptions,
    },
    /// Lock a user out, at once; one of an identity provider too.
    Disable {
        /// The user name, or the identifier that `user list` shows, such as 'https://idp.example#1234', in quotes.
        name: String,
    },
    /// Let a disabled user in again.
    Enable {
        /// The user name, or the identifier that `user list` shows.
        name: String,
    },
    /// Remove a user, and log the user's apps out. One of an identity provider comes back by logging in; see `disable`.
    Remove {
        /// The user name, or the identifier that `user list` shows.
        name: String,
    },
}

/// `client …`
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// List the clients: of the configuration, of the store, and those named by an address that hold grants.
    ///
    /// Separated by tabs: client_id, where it comes from (`configured`, `operator`, `registered` or `document`), how many
    /// grants it holds, name, redirect URIs, when it was registered, and when it was last granted something.
    List,
    /// Add a client that cannot register itself, and print its client_id and client_secret. The secret is shown this once.
    Add {
        /// The name that people are shown.
        name: String,
        /// Where people are sent back; one that server.oauth_server.allowed_redirect_uris allows. May be given again.
        #[arg(long, value_name = "URI", required = true)]
        redirect_uri: Vec<String>,
        /// It can keep no secret, and gets none.
        #[arg(long)]
        public: bool,
    },
    /// Remove a client of the store, at once, with everything it was granted. Of one that stands elsewhere, end what it was
    /// granted.
    Revoke {
        /// Its client_id.
        #[arg(allow_hyphen_values = true)]
        client_id: String,
    },
}

/// `grant …`
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// List what is granted now.
    ///
    /// Separated by tabs: its identifier, whose it is, the client, the scopes, when it was granted, and when it was last
    /// refreshed.
    List {
        /// Of this person alone; the name or identifier that `user list` shows.
        #[arg(long)]
        user: Option<String>,
        /// Of this client alone.
        #[arg(long, value_name = "CLIENT_ID", allow_hyphen_values = true)]
        client: Option<String>,
    },
    /// End a grant, at once.
    Revoke {
        /// The identifier that `grant list` shows.
        #[arg(allow_hyphen_values = true)]
        grant: String,
    },
}

/// `audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the last events.
    Tail(TailOptions),
    /// Check that no line was changed, taken out or put in since it was written.
    Verify(VerifyOptions),
}

/// `audit verify …`
#[derive(Debug, Args)]
pub struct VerifyOptions {
    /// A `chain` that an earlier run printed, kept out of reach of whoever may write the trail: a line must still have it.
    #[arg(long, value_name = "CHAIN", allow_hyphen_values = true)]
    pub contains: Option<String>,
    /// Copies of the files, the oldest first, in place of the trail of the configuration.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `audit tail …`
#[derive(Debug, Args)]
pub struct TailOptions {
    /// How many.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "NUMBER")]
    pub lines: usize,
    /// Go on with those that come.
    #[arg(short, long)]
    pub follow: bool,
    /// Events of this name alone, such as `login`. May be given again.
    #[arg(long, value_name = "NAME")]
    pub event: Vec<String>,
    /// Events of this person alone.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Events of this client alone.
    #[arg(long, value_name = "CLIENT_ID", allow_hyphen_values = true)]
    pub client: Option<String>,
    /// The lines as they were written, one JSON object each.
    #[arg(long)]
    pub json: bool,
}
