//! `mcp-bridge user add|list|passwd|disable|enable|remove`

use std::path::Path;

use crate::audit::{Event, UserChange};
use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::base::username::canonical_username;
use crate::cli::arguments::{HashOptions, UserCommand};
use crate::cli::{Beside, Failure, beside, load, password, row, say};
use crate::config::Config;
use crate::config::section::OauthServer;
use crate::model::user::User;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::Store;

pub(super) fn run(path: &Path, command: UserCommand) -> Result<(), Failure> {
    let config = load(path)?;
    check(&config, &command)?;
    beside(&config, async |beside| execute(beside, command).await)
}

/// What the store would take, and what would mean nothing to a bridge with this configuration.
fn check(config: &Config, command: &UserCommand) -> Result<(), Failure> {
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
    Err(Failure::usage(format!("{id} stands in the configuration, under builtin.users; change it there and reload or restart")))
}

async fn execute(beside: &Beside, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, scopes, email, hash } => {
            let user = new_user(&name, &scopes, hash, beside.now)?;
            add(beside, User { email, ..user }).await
        }
        UserCommand::List => list(beside.store.as_ref()).await,
        UserCommand::Passwd { name, hash } => {
            let id = with_password(&name)?;
            let hash = password::read_and_hash(hash)?;
            change(beside, &name, id, UserChange::Password, Some(hash)).await
        }
        UserCommand::Disable { name } => change(beside, &name, known(&name)?, UserChange::Disabled, None).await,
        UserCommand::Enable { name } => change(beside, &name, known(&name)?, UserChange::Enabled, None).await,
        UserCommand::Remove { name } => change(beside, &name, known(&name)?, UserChange::Removed, None).await,
    }
}

/// Changes a user who is there. What gives something is not done where it could not be recorded.
async fn change(
    beside: &Beside,
    name: &str,
    id: UserId,
    change: UserChange,
    hash: Option<Secret>,
) -> Result<(), Failure> {
    let (store, now) = (&beside.store, beside.now);
    let event = Event::UserChanged { user: &id, change };
    if event.is_required() {
        beside.audit.check().await?;
    }
    let is_there = match (change, hash) {
        (UserChange::Password, Some(hash)) => store.set_password(&id, hash, now).await?,
        (UserChange::Disabled, _) => store.disable_user(&id, now).await?,
        (UserChange::Enabled, _) => store.enable_user(&id).await?,
        (UserChange::Removed, _) => store.remove_user(&id, now).await?,
        (UserChange::Added | UserChange::Password, _) => false,
    };
    if !is_there {
        return Err(Failure::usage(format!("there is no user {name} in the store; see: mcp-bridge user list")));
    }
    beside.audit.record(event).await?;
    say(format!("{name} {}", done(change, &id)))
}

fn done(change: UserChange, id: &UserId) -> &'static str {
    match change {
        UserChange::Added => "is added",
        UserChange::Password => "has a new password; connected apps must log in again",
        UserChange::Disabled => "is disabled",
        UserChange::Enabled => "is enabled",
        UserChange::Removed if id.is_federated() => REMOVED_AT_PROVIDER,
        UserChange::Removed => "is removed from the store",
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

async fn add(beside: &Beside, user: User) -> Result<(), Failure> {
    let name = user.id.clone();
    beside.audit.check().await?;
    if beside.store.add_user(user).await? {
        beside.audit.record(Event::UserChanged { user: &name, change: UserChange::Added }).await?;
        return say(format!("{name} {}", done(UserChange::Added, &name)));
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

/// A user with a password, or a person of an identity provider: these are written exactly as they are listed.
pub(super) fn known(name: &str) -> Result<UserId, Failure> {
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
