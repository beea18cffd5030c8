//! How many connections there may be: in all, from one address, and for streams that stay open.

use std::any::Any;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use ipnet::IpNet;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Resource, getrlimit};

use crate::identity::throttle::AddressKey;

/// Descriptors that are not for connections: the store, the log, children, and connections to upstreams.
pub const RESERVED_DESCRIPTORS: usize = 128;
/// One part of so many of all connections may come from one address. Reverse proxies are not counted, and neither is this
/// machine: behind them is everybody.
pub const PARTS_FOR_ADDRESSES: usize = 8;
/// One part of so many of all connections is not for streams that stay open, so that they cannot keep out everything else.
pub const PARTS_NOT_STREAMS: usize = 10;

/// How many connections can be held: what is configured, as far as there are descriptors for them.
#[must_use]
pub fn holdable(configured: usize) -> usize {
    let descriptors =
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let holdable = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(descriptors / 2).max(1);
    if holdable < configured {
        tracing::info!(
            holdable,
            configured,
            "there are descriptors for fewer connections than server.max_connections; raise the limit of open files"
        );
    }
    holdable.min(configured)
}

/// How many streams all clients together may keep open.
#[must_use]
pub const fn for_streams(connections: usize) -> usize {
    connections - connections / PARTS_NOT_STREAMS
}

/// How many connections may come from one address.
#[must_use]
pub fn of_one_address(connections: usize) -> usize {
    (connections / PARTS_FOR_ADDRESSES).max(1)
}

/// Counts connections by the address they come from.
#[derive(Debug)]
pub struct Addresses {
    most: usize,
    counts: Mutex<HashMap<AddressKey, usize>>,
}

/// A connection that is counted until this is dropped.
struct Counted {
    addresses: Arc<Addresses>,
    key: AddressKey,
}

impl Addresses {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(connections: usize) -> Arc<Self> {
        Arc::new(Self { most: of_one_address(connections), counts: Mutex::default() })
    }

    /// Counts a connection for as long as it lasts; one too many is closed.
    pub fn enter(self: &Arc<Self>, connection: &dyn Any, kept: &mut Extensions, proxies: &[IpNet]) {
        let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
        let Ok(address) = stream.peer_addr().map(|peer| peer.ip().to_canonical()) else { return };
        if is_many(address, proxies) {
            return;
        }
        match self.count(address) {
            Some(counted) => drop(kept.insert(counted)),
            None => {
                // It may be gone already.
                let _gone = shutdown(stream, Shutdown::Both);
                tracing::debug!(%address, "too many connections from one address");
            }
        }
    }

    fn count(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let key = AddressKey::of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Counted { addresses: Arc::clone(self), key })
    }
}

/// Whether many come from there by right.
fn is_many(address: IpAddr, proxies: &[IpNet]) -> bool {
    // A proxy on this machine need not be named where it adds nothing about addresses.
    let here = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    here.contains(&address) || proxies.iter().any(|network| network.contains(&address))
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.key) {
            Some(1) | None => drop(counts.remove(&self.key)),
            Some(count) => *count -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_gets_it_back() {
        let addresses = Addresses::new(16);
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let held = [addresses.count(one).unwrap(), addresses.count(one).unwrap()];
        assert!(addresses.count(one).is_none() && addresses.count(other).is_some());
        drop(held);
        assert!(addresses.count(one).is_some());
        assert!(addresses.counts.lock().unwrap().is_empty());
        assert!(is_many("10.1.2.3".parse().unwrap(), &proxies) && is_many("127.0.0.1".parse().unwrap(), &proxies));
        assert!(!is_many(one, &proxies));
    }

    #[test]
    fn one_customer_of_ipv6_is_one_address() {
        let addresses = Addresses::new(8);
        let held = addresses.count("2001:db8::1".parse().unwrap());
        assert!(held.is_some() && addresses.count("2001:db8::2".parse().unwrap()).is_none());
        assert!(addresses.count("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
