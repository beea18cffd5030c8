//! `server.oauth_server.client_id_metadata_documents`: clients that are named by the address of their own metadata.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind;
use crate::config::value::name::HOST;

/// `client_id_metadata_documents`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataDocuments {
    /// `enabled`.
    pub enabled: bool,
    /// `allowed_hosts`: whose documents are taken. Empty: everybody's.
    pub allowed_hosts: Vec<String>,
    /// `cache_ttl`: how long a copy is used at most.
    pub cache_ttl: Duration,
    /// `max_size` of a document, in bytes.
    pub max_size: usize,
    /// `timeout`: for a whole fetch.
    pub timeout: Duration,
    /// `danger_allow_addresses`: addresses that are not public and may be fetched from, over http too.
    pub danger_allow_addresses: Vec<SocketAddr>,
}

impl MetadataDocuments {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let documents = Self {
            enabled: reader.boolean("enabled", true, "Clients may be named by an https URL, where their metadata are."),
            allowed_hosts: reader.list("allowed_hosts", &HOST, &[], "Hosts of such clients. Empty: any public one."),
            cache_ttl: reader.duration("cache_ttl", "1h", "How long a document, or the keys of any client, are used without asking for them again."),
            max_size: reader.size("max_size", "5KiB", "Of a document."),
            timeout: reader.duration("timeout", "5s", "For fetching a document, or the keys of any client, from the name lookup to the last byte."),
            danger_allow_addresses: reader.list(
                "danger_allow_addresses",
                &kind::LISTEN,
                &[],
                "For development: addresses with port, such as 127.0.0.1:8000, that documents may be at, over http too.",
            ),
        };
        if !documents.danger_allow_addresses.is_empty() {
            let problem = "lets strangers have this server fetch from addresses that are not public";
            reader.warn("danger_allow_addresses", Wrong::new(problem, "remove it outside of development"));
        }
        documents
    }
}
