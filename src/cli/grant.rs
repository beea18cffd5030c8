//! `mcp-bridge grant list|revoke`

use std::path::Path;

use crate::audit::Event;
use crate::base::clock::Timestamp;
use crate::base::id::{ClientId, GrantId, UserId};
use crate::cli::arguments::GrantCommand;
use crate::cli::{Beside, Failure, beside, load, row, say, user};

pub(super) fn run(path: &Path, command: GrantCommand) -> Result<(), Failure> {
    let config = load(path)?;
    beside(&config, async |beside| match command {
        GrantCommand::List { user, client } => {
            list(beside, user.as_deref().map(whose).transpose()?, client.map(ClientId::new)).await
        }
        GrantCommand::Revoke { grant } => revoke(beside, &GrantId::new(grant)).await,
    })
}

/// A person as listed, or a client that acts for itself.
pub(super) fn whose(name: &str) -> Result<UserId, Failure> {
    let typed = UserId::new(name);
    if typed.is_client() { Ok(typed) } else { user::known(name) }
}

/// The columns: grant, whose, client, scopes, granted, last refreshed. A further one would come at the end.
async fn list(beside: &Beside, user: Option<UserId>, client: Option<ClientId>) -> Result<(), Failure> {
    for listed in beside.store.list_grants(beside.now).await? {
        let grant = listed.grant;
        let is_wanted = user.as_ref().is_none_or(|user| *user == grant.user)
            && client.as_ref().is_none_or(|client| *client == grant.client_id);
        if is_wanted {
            let refreshed = listed.refreshed_at.map(Timestamp::rfc3339).unwrap_or_default();
            let (scopes, created) = (grant.scopes.to_string(), grant.created_at.rfc3339());
            row([grant.id.as_str(), grant.user.as_str(), grant.client_id.as_str(), &scopes, &created, &refreshed])?;
        }
    }
    Ok(())
}

async fn revoke(beside: &Beside, id: &GrantId) -> Result<(), Failure> {
    let found = beside.store.list_grants(beside.now).await?.into_iter().find(|listed| listed.grant.id == *id);
    let Some(found) = found.filter(|_| !id.as_str().is_empty()) else {
        return Err(Failure::usage(format!("there is no grant {id}, or not any more; see: mcp-bridge grant list")));
    };
    beside.store.revoke_grant(id, beside.now).await?;
    beside.audit.record(Event::GrantRevoked { grant: &found.grant, reason: "by_operator" }).await?;
    say(format!("{id} is revoked; {} must ask {} again", found.grant.client_id, found.grant.user))
}
