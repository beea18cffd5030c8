//! `mcp-bridge user add|list|passwd|disable|enable|remove`

use std::path::Path;
use std::sync::Arc;

use crate::app;
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::UserId;
use crate::base::username::{canonical_username, is_invisible};
use crate::cli::arguments::{HashOptions, UserCommand};
use crate::cli::{Failure, load, password, say};
use crate::config::Config;
use crate::config::section::{OauthServer, Storage};
use crate::model::user::User;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::{Store, StoreError};

pub(super) fn run(path: &Path, command: UserCommand) -> Result<(), Failure> {
    let config = load(path)?;
    check(&config, &command)?;
    let now = Clock::system().now();
    let store = app::open_store(&config, now)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(execute(store, command, now))
}

/// What the store would take, and what would mean nothing to a bridge with this configuration.
fn check(config: &Config, command: &UserCommand) -> Result<(), Failure> {
    if config.storage == Storage::Memory {
        let text =
            "storage.type is memory, which no other process can reach; write users under builtin.users, or use sqlite";
        return Err(Failure { code: 78, text: text.to_owned() });
    }
    let Some(section) = &config.oauth_server else { return Ok(()) };
    if let UserCommand::Add { scopes, .. } = command {
        let scopes = ScopeSet::parse(scopes).map_err(Failure::usage)?;
        if let Some(unknown) = scopes.iter().find(|scope| !section.knows_scope(scope)) {
            return Err(Failure::usage(format!("`{unknown}` is not in server.oauth_server.scopes_supported")));
        }
    }
    match command {
        UserCommand::Add { name, .. } | UserCommand::Passwd { name, .. } => {
            changed_here(section, &with_password(name)?)
        }
        UserCommand::Disable { name } | UserCommand::Enable { name } => changed_here(section, &known(name)?),
        // One that the configuration hides can be removed: it would come to light with the next change there.
        UserCommand::List | UserCommand::Remove { .. } => Ok(()),
    }
}

/// A user of the configuration hides one of the store: what is changed here would have no effect, least of all a lock-out.
fn changed_here(section: &OauthServer, id: &UserId) -> Result<(), Failure> {
    let hidden = section.users.iter().any(|user| canonical_username(&user.username).as_ref() == Some(id));
    if !hidden {
        return Ok(());
    }
    Err(Failure::usage(format!("{id} stands in the configuration, under builtin.users; change it there and restart")))
}

async fn execute(store: Arc<dyn Store>, command: UserCommand, now: Timestamp) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, scopes, email, hash } => {
            let user = new_user(&name, &scopes, hash, now)?;
            add(store.as_ref(), User { email, ..user }).await
        }
        UserCommand::List => list(store.as_ref()).await,
        UserCommand::Passwd { name, hash } => {
            let id = with_password(&name)?;
            let hash = password::read_and_hash(hash)?;
            done(
                &name,
                store.set_password(&id, hash, now).await,
                "has a new password; connected apps must log in again",
            )
        }
        UserCommand::Disable { name } => done(&name, store.disable_user(&known(&name)?, now).await, "is disabled"),
        UserCommand::Enable { name } => done(&name, store.enable_user(&known(&name)?).await, "is enabled"),
        UserCommand::Remove { name } => {
            let id = known(&name)?;
            let text = if id.is_federated() { REMOVED_AT_PROVIDER } else { "is removed from the store" };
            done(&name, store.remove_user(&id, now).await, text)
        }
    }
}

/// Removing somebody here removes nothing there.
const REMOVED_AT_PROVIDER: &str = "is removed from the store, and will be there again after the next login; to lock somebody out: mcp-bridge user disable";

fn new_user(name: &str, scopes: &str, hash: HashOptions, now: Timestamp) -> Result<User, Failure> {
    let id = with_password(name)?;
    let scopes = ScopeSet::parse(scopes).map_err(Failure::usage)?;
    let password_hash = password::read_and_hash(hash)?;
    Ok(User { id, password_hash, scopes, email: None, disabled: false, created_at: now })
}

async fn add(store: &dyn Store, user: User) -> Result<(), Failure> {
    let name = user.id.clone();
    if store.add_user(user).await? {
        return say(format!("{name} is added"));
    }
    Err(Failure::usage(format!("{name} is there already; set a password with: mcp-bridge user passwd {name}")))
}

/// The columns: who, `active` or `disabled`, scopes, e-mail address, and where the person logs in: `password` or an issuer.
/// A further one would come at the end.
async fn list(store: &dyn Store) -> Result<(), Failure> {
    for user in store.list_users().await? {
        let (scopes, email) = (user.scopes.to_string(), user.email.unwrap_or_default());
        row([user.id.as_str(), state(user.disabled), &scopes, &email, "password"])?;
    }
    for account in store.list_accounts().await? {
        // What they may do is not kept: it follows from the configuration at each login and refresh.
        let email = account.profile.email.unwrap_or_default();
        row([account.user.as_str(), state(account.disabled), "", &email, &account.issuer])?;
    }
    Ok(())
}

fn state(disabled: bool) -> &'static str {
    if disabled { "disabled" } else { "active" }
}

/// One line, whatever a provider says: neither its line breaks nor what else a terminal acts upon are shown as they are.
fn row(columns: [&str; 5]) -> Result<(), Failure> {
    let shown = columns.map(|column| {
        let shown = |c: char| if is_invisible(c) { c.escape_default().to_string() } else { c.to_string() };
        column.chars().map(shown).collect::<String>()
    });
    say(shown.join("\t"))
}

fn done(name: &str, result: Result<bool, StoreError>, text: &str) -> Result<(), Failure> {
    if result? {
        say(format!("{name} {text}"))
    } else {
        Err(Failure::usage(format!("there is no user {name} in the store; see: mcp-bridge user list")))
    }
}

/// A user with a password, or a person of an identity provider: these are written exactly as they are listed.
fn known(name: &str) -> Result<UserId, Failure> {
    let typed = UserId::new(name);
    if typed.is_federated() { Ok(typed) } else { with_password(name) }
}

fn with_password(name: &str) -> Result<UserId, Failure> {
    if UserId::new(name).is_federated() {
        return Err(Failure::usage(format!(
            "{name} is not a user name: whoever is called so logs in at an identity provider, and has no password here"
        )));
    }
    canonical_username(name).ok_or_else(|| {
        Failure::usage("a user name has 1 to 128 characters, none of them a control character, and no ://")
    })
}
