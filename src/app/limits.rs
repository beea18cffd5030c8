//! Every bound there is, in one list, for `config show --limits`.

use crate::app::{connections, serve};
use crate::audit;
use crate::authorization_server::authorize;
use crate::authorization_server::client::documents;
use crate::authorization_server::session;
use crate::base::id::ProviderName;
use crate::base::limit::Limit;
use crate::bridge;
use crate::config::Config;
use crate::config::section::{MetadataDocuments, OauthServer, RateLimit, Registration, Server};
use crate::http;
use crate::identity;
use crate::keys;
use crate::protocol::oauth::{client_metadata, parameters};
use crate::resource_server;
use crate::store::sqlite;

/// All of them, with the values of this configuration.
#[must_use]
pub fn limits(config: &Config) -> Vec<Limit> {
    let mut all = of_connections(&config.server);
    all.extend(http::limits::limits(&config.server));
    all.extend(bridge::limits::limits(&config.server.session, &config.upstreams));
    all.extend(config.oauth_server.iter().flat_map(|section| of_people(section, &config.server)));
    all.extend(sqlite::limits());
    if config.audit.is_some() {
        all.extend(audit::limits());
    }
    let stop = config.server.shutdown_timeout;
    all.push(
        Limit::time("requests under way when told to stop", stop, "they are cut off").set_by("server.shutdown_timeout"),
    );
    all
}

fn of_connections(server: &Server) -> Vec<Limit> {
    let most = connections::holdable(server.max_connections);
    let [unsent] = serve::LIMITS;
    vec![
        Limit::count("connections", most, "they wait to be accepted").set_by("server.max_connections"),
        Limit::count(
            "connections from one address that is no proxy",
            connections::of_one_address(most),
            "they are closed",
        )
        .set_by("server.max_connections"),
        Limit::count("open streams, in all", connections::for_streams(most), "503, Retry-After")
            .set_by("server.max_connections"),
        Limit::count("descriptors kept for everything else", connections::RESERVED_DESCRIPTORS, "fewer connections"),
        unsent,
    ]
}

fn of_people(section: &OauthServer, server: &Server) -> Vec<Limit> {
    let login = server.login_rate_limit;
    let most = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let mut all = [
        &authorize::LIMITS[..],
        &session::LIMITS,
        &parameters::LIMITS,
        &client_metadata::LIMITS,
        &keys::TOKEN_LIMITS,
        &keys::SCHEDULE_LIMITS,
        &resource_server::LIMITS,
    ]
    .concat();
    for (name, factor) in [
        ("logins of one address in an interval", super::LOGINS),
        ("authorization requests of one address in an interval", super::AUTHORIZATIONS),
        ("token requests of one address in an interval", super::TOKENS),
    ] {
        let count = most(login.limit.saturating_mul(factor));
        all.push(Limit::count(name, count, "429, Retry-After").none_if_zero().set_by("server.rate_limit.login.limit"));
    }
    all.push(
        Limit::time("that interval", login.interval, "counting goes on").set_by("server.rate_limit.login.interval"),
    );
    all.push(
        Limit::count(
            "wrong passwords of one account from one address",
            most(section.lockout.max_failures),
            "429, Retry-After",
        )
        .set_by("server.oauth_server.builtin.lockout.max_failures"),
    );
    all.extend(of_registration(section.registration, login));
    all.extend(identity::limits());
    for provider in &section.providers {
        let place = if provider.name == ProviderName::the_only() {
            String::new()
        } else {
            format!("providers.{}.", provider.name)
        };
        all.push(
            Limit::time("request to an identity provider", provider.http_timeout, "the login fails")
                .set_by(format!("server.oauth_server.federated.{place}http_timeout")),
        );
    }
    all.extend(of_documents(&section.metadata_documents));
    if !section.providers.is_empty() {
        all.extend([&identity::federated::LIMITS[..], &keys::FOREIGN_LIMITS].concat());
    }
    all
}

fn of_registration(settings: Registration, login: RateLimit) -> [Limit; 2] {
    let most = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let (rate, key) = match settings.rate {
        Some(rate) => (rate, "server.oauth_server.registration.rate"),
        None => (login, "server.rate_limit.login.limit"),
    };
    [
        Limit::count("registrations of one address in an interval", most(rate.limit), "429, Retry-After")
            .none_if_zero()
            .set_by(key),
        Limit::count("registered clients", most(settings.max_clients), "one that was never used makes room, else 503")
            .set_by("server.oauth_server.registration.max_clients"),
    ]
}

fn of_documents(settings: &MetadataDocuments) -> Vec<Limit> {
    let key = |key: &str| format!("server.oauth_server.client_id_metadata_documents.{key}");
    let configured = [
        Limit::bytes("metadata document of a client", settings.max_size, "a page, or 401").set_by(key("max_size")),
        Limit::time("fetch of such a document", settings.timeout, "the last good copy, else a page or 503")
            .set_by(key("timeout")),
        Limit::time("use of such a document, at most", settings.cache_ttl, "it is fetched anew")
            .set_by(key("cache_ttl")),
    ];
    [&configured[..], &documents::LIMITS, &documents::COPY_LIMITS, &documents::KEY_LIMITS, &documents::HOST_LIMITS]
        .concat()
}
