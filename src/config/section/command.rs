//! The keys of an upstream that is a child process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::base::secret::Secret;
use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind::{self, Kind, expected, text};
use crate::config::value::name::check_variable;
use crate::config::value::template::{self, FillFault, Variable};

/// A child process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// `command`: a program, looked up in `PATH` when it has no slash. Never a shell line.
    pub command: String,
    /// `args`, passed as they are.
    pub args: Vec<String>,
    /// `env`: set for the child.
    pub env: BTreeMap<String, Secret>,
    /// `inherit_env`: what of the bridge's own environment the child sees.
    pub inherit_env: InheritEnv,
    /// `dir`, absolute here. `None`: the bridge's own.
    pub dir: Option<PathBuf>,
    /// `startup_timeout`: from start to the answer to `initialize`.
    pub startup_timeout: Duration,
    /// `graceful_shutdown_timeout`: from closing its standard input to SIGTERM, and again to SIGKILL.
    pub graceful_shutdown_timeout: Duration,
    /// How it is restarted.
    pub restart: RestartPolicy,
    /// `stderr`: where its standard error goes.
    pub stderr: ChildStderr,
}

/// `stderr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildStderr {
    /// `log`: into the bridge's log, line by line, without secrets and control characters.
    Log,
    /// `null`: nowhere.
    Discard,
    /// `inherit`: to the bridge's own standard error, as it is.
    Inherit,
    /// `{file: …}`: as it is to the end of a file, made with mode 0600.
    File(PathBuf),
}

/// `inherit_env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InheritEnv {
    /// `true`: everything.
    All,
    /// These variables. The default is `PATH`, `HOME`, `LANG`, `LC_ALL`, `TZ`, `TMPDIR`, `USER`, `LOGNAME`, `SHELL`.
    Only(Vec<String>),
}

/// `restart_on_failure` and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// `restart_on_failure`.
    pub enabled: bool,
    /// `max_restarts` in a row without a minute's life. `None`: no bound.
    pub max_restarts: Option<u32>,
    /// `restart_delay`: the first; each further one is twice as long.
    pub delay: Duration,
    /// `max_restart_delay`.
    pub max_delay: Duration,
}

/// What every program needs and no secret hides in.
const INHERITED: [&str; 9] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL"];

/// Keys that mean nothing to other kinds of upstreams.
pub(super) const KEYS: [&str; 12] = [
    "args",
    "env",
    "inherit_env",
    "dir",
    "cwd",
    "startup_timeout",
    "graceful_shutdown_timeout",
    "restart_on_failure",
    "max_restarts",
    "restart_delay",
    "max_restart_delay",
    "stderr",
];

impl Command {
    /// `None` when there is no `command`; the other keys are checked all the same.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let command =
            reader.optional("command", &PROGRAM, "A program that speaks MCP on its standard input and output.");
        let args = reader.list("args", &ARGUMENT, &[], "Its arguments, passed as they are: there is no shell.");
        let args = args.into_iter().map(|(argument, _)| argument).collect();
        let env = read_environment(reader);
        let inherit_env = reader.value(
            "inherit_env",
            &INHERIT,
            Node::Sequence(INHERITED.iter().map(|name| Node::from(*name)).collect()),
            "Variables of the bridge that the program sees; true for all.",
        );
        let dir = reader.optional_path("dir|cwd", "Where it runs. Without it, where the bridge does.");
        if let Some(missing) = dir.as_ref().filter(|dir| !dir.is_dir()) {
            let wrong = Wrong::new(format!("{} is no folder", missing.display()), "name one that exists");
            reader.fault("dir|cwd", wrong);
        }
        let base = dir.as_deref().unwrap_or_else(|| reader.folder());
        let command = command.map(|command| if command.contains('/') { absolute(base, &command) } else { command });
        let startup_timeout =
            reader.duration("startup_timeout", "60s", "From its start to its answer to initialize; npx may download.");
        let graceful_shutdown_timeout = reader.duration(
            "graceful_shutdown_timeout",
            "30s",
            "From closing its input to SIGTERM, and again to SIGKILL.",
        );
        let restart = RestartPolicy::read(reader);
        let stderr = read_stderr(reader);
        Some(Self {
            command: command?,
            args,
            env,
            inherit_env,
            dir,
            startup_timeout,
            graceful_shutdown_timeout,
            restart,
            stderr,
        })
    }
}

impl Command {
    /// Whether a value of `env` uses the variable.
    #[must_use]
    pub fn uses(&self, variable: Variable) -> bool {
        self.env.values().any(|value| template::uses(value.expose(), variable))
    }

    /// The same command for one person, of whom `find` tells what `env` wants to know.
    ///
    /// # Errors
    /// It cannot be told, or would not be safe to use.
    pub fn for_person(&self, find: impl Fn(Variable) -> Option<String>) -> Result<Self, FillFault> {
        let filled = self.env.iter().map(|(name, value)| {
            template::fill(value.expose(), &find).map(|filled| (name.clone(), Secret::new(filled)))
        });
        Ok(Self { env: filled.collect::<Result<_, _>>()?, ..self.clone() })
    }
}

impl RestartPolicy {
    fn read(reader: &mut Reader<'_>) -> Self {
        let restart = Self {
            enabled: reader.boolean("restart_on_failure", true, "Start it again when it ends."),
            max_restarts: reader.optional(
                "max_restarts",
                &kind::COUNT,
                "In a row, without a minute's life between. Without it, no bound.",
            ),
            delay: reader.duration(
                "restart_delay",
                "500ms",
                "Before the first restart; each further one is twice as long.",
            ),
            max_delay: reader.duration("max_restart_delay", "30s", "No delay is longer."),
        };
        if restart.delay > restart.max_delay {
            reader.fault("restart_delay", Wrong::new("is longer than max_restart_delay", "shorten it"));
        }
        restart
    }
}

fn read_environment(reader: &mut Reader<'_>) -> BTreeMap<String, Secret> {
    let variables = reader.map("env", &kind::HIDDEN_TEXT, "Variables set for it.");
    for (name, _) in &variables {
        if let Err(wrong) = check_variable(name) {
            reader.fault("env", wrong);
        }
    }
    variables.into_iter().collect()
}

fn read_stderr(reader: &mut Reader<'_>) -> ChildStderr {
    let doc = "log; null: nowhere; inherit: the bridge's own, as it is; {file: path}: to its end, mode 0600.";
    // Everywhere else `null` is a key that is not there; here it is the device of that name.
    let default = if reader.is_null("stderr") { "null" } else { "log" };
    let stderr = reader.value("stderr", &STDERR, default, doc);
    let ChildStderr::File(path) = stderr else { return stderr };
    let path = reader.folder().join(path);
    if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        let wrong = Wrong::new(format!("{} is no folder", folder.display()), "name a file in one that exists");
        reader.fault("stderr", wrong);
    }
    ChildStderr::File(path)
}

fn absolute(base: &std::path::Path, command: &str) -> String {
    base.join(command).to_string_lossy().into_owned()
}

const PROGRAM: Kind<String> = Kind {
    schema: || json!({"type": "string", "minLength": 1}),
    parse: |node| {
        let command = (kind::NONEMPTY.parse)(node)?;
        // A program whose own name has a space in it is written with its path.
        if !command.contains('/') && command.trim().contains(char::is_whitespace) {
            let program = command.split_whitespace().next().unwrap_or_default();
            let fix = format!("write `command: {program}`, and each further word as one of args");
            return Err(Wrong::new("is a program, not a shell line", fix));
        }
        if command.contains('\0') {
            return Err(Wrong::new("holds a NUL character", "remove it"));
        }
        Ok(command)
    },
    print: |command| Node::String(command.clone()),
};

/// An argument, and whether it came from the environment: then it may be a secret, and is not shown.
const ARGUMENT: Kind<(String, bool)> = Kind {
    schema: || json!({"type": ["string", "integer", "boolean"]}),
    parse: |node| {
        let text = text(node)?;
        if text.contains('\0') {
            return Err(Wrong::new("holds a NUL character", "remove it"));
        }
        Ok((text.into_owned(), matches!(node, Node::Expanded(_))))
    },
    print: |(argument, hidden)| Node::from(if *hidden { "<redacted>" } else { argument.as_str() }),
};

const STDERR: Kind<ChildStderr> = Kind {
    schema: || {
        let file = json!({"type": "string", "minLength": 1});
        let file = json!({"type": "object", "properties": {"file": file}, "required": ["file"], "additionalProperties": false});
        json!({"anyOf": [{"enum": ["log", "null", "inherit", null]}, file, {"$ref": "#/$defs/variable"}]})
    },
    parse: |node| {
        let fix = "write log, null, inherit or {file: path}";
        match node {
            Node::Mapping(entries) => match entries.as_slice() {
                [(key, path)] if key == "file" => {
                    (kind::NONEMPTY.parse)(path).map(|path| ChildStderr::File(path.into()))
                }
                _ => Err(Wrong::new("has more or less than file", fix)),
            },
            node => match text(node)?.as_ref() {
                "log" => Ok(ChildStderr::Log),
                "null" => Ok(ChildStderr::Discard),
                "inherit" => Ok(ChildStderr::Inherit),
                _ => Err(expected(node, "one of log, null, inherit, {file: path}", fix)),
            },
        }
    },
    print: |stderr| match stderr {
        ChildStderr::Log => Node::from("log"),
        ChildStderr::Discard => Node::from("null"),
        ChildStderr::Inherit => Node::from("inherit"),
        ChildStderr::File(path) => {
            Node::Mapping(vec![("file".to_owned(), Node::String(path.to_string_lossy().into_owned()))])
        }
    },
};

const INHERIT: Kind<InheritEnv> = Kind {
    schema: || json!({"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]}),
    parse: |node| match node {
        Node::Bool(true) => Ok(InheritEnv::All),
        Node::Bool(false) => Ok(InheritEnv::Only(Vec::new())),
        Node::Sequence(names) => names.iter().map(variable_name).collect::<Result<_, _>>().map(InheritEnv::Only),
        node => Err(expected(node, "true, false or a list of variables", "write a list such as [PATH, HOME]")),
    },
    print: |inherit| match inherit {
        InheritEnv::All => Node::Bool(true),
        InheritEnv::Only(names) => Node::Sequence(names.iter().map(|name| Node::from(name.as_str())).collect()),
    },
};

fn variable_name(node: &Node) -> Result<String, Wrong> {
    let name = text(node)?;
    check_variable(&name)?;
    Ok(name.into_owned())
}
