//! What no reload changes: where the bridge is reached and what it keeps. Other people have these written down.

use crate::config::Config;

/// Puts what needs a restart back to what is in force. Gives the keys that were to change.
pub(super) fn keep(config: &mut Config, in_force: &Config) -> Vec<&'static str> {
    let mut kept = Vec::new();
    let (server, old) = (&mut config.server, &in_force.server);
    keep_one(&mut server.listen, &old.listen, "server.listen", &mut kept);
    keep_one(&mut server.public_url, &old.public_url, "server.public_url", &mut kept);
    keep_one(&mut server.root_endpoint, &old.root_endpoint, "server.root_endpoint", &mut kept);
    keep_one(&mut config.endpoint.path, &in_force.endpoint.path, "server.mcp_path", &mut kept);
    keep_one(&mut config.storage, &in_force.storage, "storage", &mut kept);
    keep_one(&mut config.audit, &in_force.audit, "audit", &mut kept);
    // What actix was started with.
    keep_one(&mut server.workers, &old.workers, "server.workers", &mut kept);
    keep_one(&mut server.max_connections, &old.max_connections, "server.max_connections", &mut kept);
    keep_one(&mut server.read_timeout, &old.read_timeout, "server.read_timeout", &mut kept);
    keep_one(&mut server.idle_timeout, &old.idle_timeout, "server.idle_timeout", &mut kept);
    keep_one(&mut server.shutdown_timeout, &old.shutdown_timeout, "server.shutdown_timeout", &mut kept);
    match (&mut config.oauth_server, &in_force.oauth_server) {
        (Some(section), Some(old)) => {
            keep_one(&mut section.issuer, &old.issuer, "server.oauth_server.issuer", &mut kept)
        }
        (None, None) => {}
        (section, old) => {
            // Its pages and addresses come and go with it, and so does whose word is taken for who is calling.
            kept.push("server.oauth_server.enabled");
            section.clone_from(old);
            config.endpoint.auth = in_force.endpoint.auth;
        }
    }
    kept
}

fn keep_one<T: Clone + PartialEq>(value: &mut T, in_force: &T, key: &'static str, kept: &mut Vec<&'static str>) {
    if value != in_force {
        value.clone_from(in_force);
        kept.push(key);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("/"), &Environment::table(&[])).unwrap()
    }

    #[test]
    fn where_the_bridge_is_reached_and_what_it_keeps_stays() {
        let old = config("upstreams: {me: {builtin: whoami}}\n");
        let mut new = config(
            "server: {listen: 127.0.0.1:9, public_url: \"https://b.example\", mcp_path: /x, root_endpoint: false, workers: 7, request_timeout: 1s}\n\
             storage: {type: memory}\nupstreams: {me: {builtin: whoami}}\n",
        );
        let kept = keep(&mut new, &old);
        let keys = ["listen", "public_url", "root_endpoint", "mcp_path"].map(|key| format!("server.{key}"));
        assert_eq!(kept, [&keys[..], &["storage".to_owned(), "server.workers".to_owned()]].concat());
        assert_eq!((new.server.listen, &new.endpoint.path), (old.server.listen, &old.endpoint.path));
        assert_ne!(new.server.request_timeout, old.server.request_timeout);
        assert!(keep(&mut new, &old).is_empty());
    }
}
