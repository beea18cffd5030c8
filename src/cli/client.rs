//! `mcp-bridge client list|add|revoke`

use std::path::Path;

use serde_json::json;

use crate::audit::Event;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::ClientId;
use crate::base::random;
use crate::cli::arguments::ClientCommand;
use crate::cli::{Beside, Failure, beside, load, row, say};
use crate::config::Config;
use crate::config::section::OauthServer;
use crate::model::client::{Authentication, RegisteredClient};
use crate::protocol::oauth::client_metadata::{AcceptedMetadata, AcceptedProof, ClientMetadata};
use crate::protocol::oauth::redirect_uri::RedirectUriPolicy;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::ListedGrant;

pub(super) fn run(path: &Path, command: ClientCommand) -> Result<(), Failure> {
    let config = load(path)?;
    match command {
        ClientCommand::List => beside(&config, async |beside| list(beside, &config).await),
        ClientCommand::Add { name, redirect_uri, public } => {
            let accepted = accept(&config, &name, &redirect_uri, public)?;
            beside(&config, async |beside| add(beside, accepted).await)
        }
        ClientCommand::Revoke { client_id } => {
            beside(&config, async |beside| revoke(beside, &config, &ClientId::new(client_id)).await)
        }
    }
}

/// The columns: client_id, origin, grants, name, redirect URIs, registered, last granted. A further one would come at the end.
async fn list(beside: &Beside, config: &Config) -> Result<(), Failure> {
    let grants = beside.store.list_grants(beside.now).await?;
    let held = |id: &str| grants.iter().filter(|found| found.grant.client_id.as_str() == id).count().to_string();
    for client in config.oauth_server.iter().flat_map(|section| &section.clients) {
        let name = client.name.clone().unwrap_or_default();
        let uris = client.redirect_uris.join(" ");
        row([&client.client_id, "configured", &held(&client.client_id), &name, &uris, "", ""])?;
    }
    for listed in beside.store.list_clients(beside.now).await? {
        let client = listed.client;
        let origin = if client.by_operator { "operator" } else { "registered" };
        let (name, uris) = (client.name.unwrap_or_default(), client.redirect_uris.join(" "));
        let granted = client.last_granted_at.map(Timestamp::rfc3339).unwrap_or_default();
        let registered = client.registered_at.rfc3339();
        row([client.id.as_str(), origin, &listed.grants.to_string(), &name, &uris, &registered, &granted])?;
    }
    for (id, last) in documents(&grants) {
        row([id.as_str(), "document", &held(id.as_str()), "", "", "", &last.rfc3339()])?;
    }
    Ok(())
}

/// The clients that are named by an address and hold grants, and when they were last granted something.
fn documents(grants: &[ListedGrant]) -> Vec<(&ClientId, Timestamp)> {
    let mut found: Vec<(&ClientId, Timestamp)> = Vec::new();
    for grant in grants.iter().map(|listed| &listed.grant).filter(|grant| is_address(&grant.client_id)) {
        match found.iter_mut().find(|(id, _)| **id == grant.client_id) {
            Some((_, last)) => *last = (*last).max(grant.created_at),
            None => found.push((&grant.client_id, grant.created_at)),
        }
    }
    found
}

fn is_address(id: &ClientId) -> bool {
    id.as_str().contains("://")
}

/// The same checks as those of a client that registers itself.
fn accept(config: &Config, name: &str, uris: &[String], public: bool) -> Result<AcceptedMetadata, Failure> {
    let section = config.oauth_server.as_ref().ok_or_else(|| Failure {
        code: 78,
        text: "there are no clients, since server.oauth_server is not enabled".to_owned(),
    })?;
    let method = if public { "none" } else { "client_secret_basic" };
    let metadata = json!({
        "client_name": name,
        "redirect_uris": uris,
        "token_endpoint_auth_method": method,
        "grant_types": ["authorization_code", "refresh_token"],
    });
    let supported: ScopeSet = section.scopes_supported.keys().cloned().collect();
    let accepted = ClientMetadata::parse(metadata.to_string().as_bytes()).map_err(Failure::usage)?;
    let accepted = accepted.accept(&supported).map_err(Failure::usage)?;
    check_redirect_uris(section, &accepted)?;
    Ok(accepted)
}

fn check_redirect_uris(section: &OauthServer, accepted: &AcceptedMetadata) -> Result<(), Failure> {
    let policy = RedirectUriPolicy::new(&section.allowed_redirect_uris);
    accepted.redirect_uris.iter().try_for_each(|uri| {
        let refused = |fault| format!("{fault}; the operator allows some in server.oauth_server.allowed_redirect_uris");
        policy.check(uri).map(drop).map_err(|fault| Failure::usage(refused(fault)))
    })
}

async fn add(beside: &Beside, accepted: AcceptedMetadata) -> Result<(), Failure> {
    let secret = (accepted.proof == AcceptedProof::Secret).then(random::token);
    let digest = secret.as_ref().map(Digest::of);
    let client = RegisteredClient {
        id: ClientId::new(random::identifier()),
        name: accepted.name,
        redirect_uris: accepted.redirect_uris,
        authentication: digest.map_or(Authentication::None, Authentication::Secret),
        may_refresh: accepted.may_refresh,
        metadata: accepted.echo,
        management: None,
        fingerprint: None,
        registered_at: beside.now,
        last_granted_at: None,
        by_operator: true,
    };
    let id = client.id.clone();
    beside.audit.check().await?;
    beside.store.add_operators_client(client).await?;
    beside.audit.record(Event::ClientAdded { client: &id }).await?;
    say(format!("client_id\t{id}"))?;
    // The only place where it is ever shown: the store has its digest.
    secret.map_or(Ok(()), |secret| say(format!("client_secret\t{}", secret.expose())))
}

async fn revoke(beside: &Beside, config: &Config, id: &ClientId) -> Result<(), Failure> {
    let (store, now) = (&beside.store, beside.now);
    let mut configured = config.oauth_server.iter().flat_map(|section| &section.clients);
    let is_configured = configured.any(|client| client.client_id == id.as_str());
    if !is_configured && store.remove_client(id, None, now).await? {
        beside.audit.record(Event::ClientRemoved { client: id }).await?;
        return say(format!("{id} is removed, and what it was granted is revoked"));
    }
    let had_something = store.revoke_grants_of_client(id, now).await?;
    if !had_something && !is_configured {
        return Err(Failure::usage(format!("there is no client {id}; see: mcp-bridge client list")));
    }
    let event = Event::GrantsRevoked { user: None, client: Some(id), reason: "by_operator" };
    beside.audit.record(event).await?;
    let how_to_end = match is_configured {
        true => "it can ask again until it is removed from clients in the configuration",
        false => "it can ask again; who may is server.oauth_server.client_id_metadata_documents.allowed_hosts",
    };
    say(format!("what {id} was granted is revoked; {how_to_end}"))
}
