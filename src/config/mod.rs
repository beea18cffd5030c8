//! `config.yaml`: from text to a [`Config`] that can be relied on, or to every fault at once.
//!
//! Owns the file, its format, and the environment variables in it. A section is one struct and one `read` function in
//! `section/`; asking a `Reader` for a key there is all it takes to have the key parsed, checked, shown and described.

mod check;
mod document;
mod environment;
mod fault;
mod file;
mod later;
mod lines;
mod quantity;
mod reader;
pub mod section;
mod value;

use std::path::Path;

use serde_json::{Value, json};

pub use environment::Environment;
pub use fault::{Fault, Faults, Wrong};

use crate::config::document::{Document, Node};
use crate::config::file::Occasion;
use crate::config::reader::{Reader, Shared, kind};
use crate::config::section::{
    Audit, Endpoint, Log, OauthServer, Server, ServerSection, Storage, Upstream, read_upstreams,
};

/// A configuration in which everything was checked. Passed on as sections; there is no global.
#[derive(Clone, Debug)]
pub struct Config {
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
    /// `audit`, when it is enabled.
    pub audit: Option<Audit>,
    /// What is legal but deserves a word at start.
    pub warnings: Vec<Fault>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        Ok(load(path)?.0)
    }

    /// As [`Config::load`], beside a configuration that is in force. An empty file is a fault: somebody is writing it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load_again(path: &Path) -> Result<Self, Faults> {
        let text = read_text(path, Occasion::Reload)?;
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            let wrong = Wrong::new("is empty", "write it beside itself and move it into place, then tell again");
            return Err(Faults::new(path.display().to_string(), vec![wrong.at("", None)]));
        }
        Ok(parse_file(&text, path, Occasion::Reload)?.0)
    }

    /// Checks the text of a file named `config.yaml` in `folder`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, folder: &Path, environment: &Environment) -> Result<Self, Faults> {
        Ok(parse_text(text, folder, environment)?.0)
    }

    /// The same configuration if nothing about it deserves a word.
    ///
    /// # Errors
    /// The warnings, as the faults of the file at `path`.
    pub fn strict(self, path: &Path) -> Result<Self, Faults> {
        if self.warnings.is_empty() { Ok(self) } else { Err(Faults::new(path.display().to_string(), self.warnings)) }
    }
}

/// The canonical form of a file, defaults filled in and secrets replaced by `<redacted>`, as YAML.
///
/// # Errors
/// Everything that is wrong with it.
pub fn show(path: &Path) -> Result<String, Faults> {
    let (_, shown) = load(path)?;
    Ok(print(&shown))
}

/// The canonical form of the text of a file in `folder`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn show_text(text: &str, folder: &Path, environment: &Environment) -> Result<String, Faults> {
    let (_, shown) = parse_text(text, folder, environment)?;
    Ok(print(&shown))
}

/// The JSON Schema (draft 2020-12) of the file: what editors complete and check it with.
#[must_use]
pub fn schema() -> Value {
    let (_, mut schema) = describe();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("mcp-bridge configuration");
    schema["$defs"] = kind::definitions();
    schema
}

/// The canonical path of every key, `*` for the names and numbers of elements: `upstreams.*.url`.
#[must_use]
pub fn known_places() -> Vec<String> {
    describe().0
}

fn load(path: &Path) -> Result<(Config, Node), Faults> {
    parse_file(&read_text(path, Occasion::Start)?, path, Occasion::Start)
}

fn read_text(path: &Path, occasion: Occasion) -> Result<String, Faults> {
    let text = file::read(path, occasion).map_err(|error| unreadable(path, &error.to_string()))?;
    String::from_utf8(text).map_err(|_| unreadable(path, "it is not UTF-8"))
}

fn parse_file(text: &str, path: &Path, occasion: Occasion) -> Result<(Config, Node), Faults> {
    // Relative to the file, also when the file is named without a folder; what is no file stands where the program was started.
    let place = if file::is_handed_over(path) { Path::new("config.yaml") } else { path };
    let place = std::path::absolute(place).map_err(|error| unreadable(path, &error.to_string()))?;
    let folder = place.parent().unwrap_or(Path::new("/"));
    let shared = Shared::new(folder.to_owned(), Environment::process(), occasion);
    parse(text, path, shared)
}

fn parse_text(text: &str, folder: &Path, environment: &Environment) -> Result<(Config, Node), Faults> {
    let shared = Shared::new(folder.to_owned(), environment.clone(), Occasion::Start);
    parse(text, Path::new("config.yaml"), shared)
}

fn unreadable(path: &Path, why: &str) -> Faults {
    let wrong = Wrong::new(format!("cannot be read: {why}"), "name the file with -c");
    Faults::new(path.display().to_string(), vec![wrong.at("", None)])
}

fn parse(text: &str, file: &Path, mut shared: Shared) -> Result<(Config, Node), Faults> {
    let faults = |faults: Vec<Fault>| Faults::new(file.display().to_string(), faults);
    let Document { mut entries, lines } = Document::parse(text).map_err(faults)?;
    let failures = environment::expand(&mut entries, "", &shared.environment);
    shared.lines = lines;
    for (path, wrong) in failures {
        shared.fault(&path, wrong);
    }
    let mut reader = Reader::new(&shared, &entries);
    let mut config = read(&mut reader);
    let (shown, _) = reader.finish();
    config.warnings = shared.warnings.take();
    let found = shared.faults.take();
    if found.is_empty() { Ok((config, shown)) } else { Err(faults(found)) }
}

/// The whole file, from the top.
fn read(reader: &mut Reader<'_>) -> Config {
    reader.choice("mode", &[("server", ())], (), "server: accepts clients and bridges them to upstreams.");
    let log = reader.section("log|logging", "What is written, how and where.", Log::read);
    let auth = reader.hoist("auth");
    let doc = "The listener, the authorization server, and who may call.";
    let section = reader.section("server", doc, |reader| ServerSection::read(reader, auth));
    reader.describe_hoisted("auth", "server");
    let auth = check::endpoint_auth(reader, &section);
    check::issuer(reader, &section);
    let upstreams = read_upstreams(reader, section.mcp_server);
    check::isolation(reader, auth, &upstreams);
    if upstreams.is_empty() {
        let fix = "add one to upstreams, such as `me: {builtin: whoami}`";
        reader.warn("upstreams", Wrong::new("no MCP server is behind the bridge", fix));
    }
    Config {
        log,
        server: section.server,
        oauth_server: section.oauth_server,
        endpoint: Endpoint { path: section.mcp_path, auth },
        upstreams,
        storage: reader.section("storage", "Where clients, grants, consents and users are kept.", Storage::read),
        audit: reader.section("audit", "The trail of security events.", Audit::read),
        warnings: Vec::new(),
    }
}

/// Asks for every key without a file. Gives the place of each, and the schema.
fn describe() -> (Vec<String>, Value) {
    let shared = Shared::describing();
    let mut reader = Reader::new(&shared, &[]);
    read(&mut reader);
    let (_, schema) = reader.finish();
    (shared.places.take(), schema)
}

fn print(shown: &Node) -> String {
    serde_yaml::to_string(shown).expect("a tree of plain values can be written as YAML")
}
