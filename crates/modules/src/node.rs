//! What the whole server shares: sockets, names, transactions, the location table and counters.
//!
//! A [`Node`] is made once at start and lives until the process ends. What a reload may change stands in
//! [`Configuration`](crate::configuration::Configuration) instead, and is swapped as a whole.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use seawall_location::{Location, NameId};
use seawall_net::{SocketId, Transport};
use seawall_sip::ascii;
use seawall_transaction::{Keys, Layer, Marks, Timers};

use crate::configuration::Configuration;
use crate::context::Target;
use crate::mid_registrar::Fronts;
use crate::reg_event::Watchers;
use crate::statistics::Counters;
use crate::tm::state::TransactionState;

/// How many independent shards the transaction layer has. Any worker may lock any of them for a moment, so
/// there are many more than workers.
const TRANSACTION_SHARDS: u16 = 64;

/// One shard of the transaction layer.
pub type Shard = Layer<Arc<TransactionState>, Target>;

/// The state that all workers and the control side share.
pub struct Node {
    /// Sockets that the server listens on and sends from; a [`SocketId`] is the position here.
    pub sockets: Vec<Socket>,
    /// Names and addresses that are the server itself.
    pub identity: Identity,
    /// Bindings.
    pub location: Arc<Location>,
    /// Who subscribed to registrations.
    pub watchers: Watchers,
    /// Location tables in front of main registrars.
    pub fronts: Fronts,
    /// The transaction layer, sharded by the branch of the topmost Via.
    pub transactions: Vec<Mutex<Shard>>,
    /// Which REGISTERs may have a transaction.
    pub marks: Arc<Marks>,
    /// Makes and reads branch parameters, transaction keys and tags.
    pub keys: Keys,
    /// Makes nonces and knows which were used.
    pub authentication: crate::auth::Nonces,
    /// The bindings' database.
    pub store: crate::store::Store,
    /// Records of accounting on their way to a database.
    pub accounts: crate::acc::Accounts,
    /// The databases.
    pub storage: seawall_storage::Storage,
    /// What is in force now: the script and the module parameters.
    pub configuration: ArcSwap<Configuration>,
    /// Statistics, one set of cells for each worker.
    pub counters: Counters,
    /// Who waits for events.
    pub subscriptions: crate::event_routing::Subscriptions,
    /// What tells programs outside of events.
    pub datagrams: crate::event_datagram::Datagrams,
    /// Which phones are being woken.
    pub outstanding: crate::registrar::outstanding::Outstanding,
    /// The senders of push notifications.
    pub push: crate::push::Link,
    /// When the server started, in seconds since the Unix epoch.
    pub started_s: u64,
    /// The number of workers.
    pub workers: usize,
    /// Whether contacts are pinged (MI `nh_enable_ping`), where the script says so.
    pub pinging: AtomicBool,
}

/// A socket of the server and how it is named in messages.
#[derive(Debug, Clone)]
pub struct Socket {
    /// Its position in [`Node::sockets`].
    pub id: SocketId,
    /// The transport.
    pub transport: Transport,
    /// The address that it is bound to; never a wildcard.
    pub address: SocketAddr,
    /// `host:port` as it stands in Via and Record-Route: the advertised name if there is one.
    pub sent_by: Vec<u8>,
    /// The host part of `sent_by`.
    pub host: Vec<u8>,
    /// The port part of `sent_by`.
    pub port: u16,
    /// The interned form of `description`, as bindings keep it.
    pub name: NameId,
    /// The tag of its `socket` line.
    pub tag: Option<String>,
    /// `proto:address:port`, as MI and the location table show it.
    pub description: String,
}

impl Socket {
    /// Describes a bound socket; `advertised` replaces the address in what others see.
    #[must_use]
    pub fn new(
        id: SocketId,
        transport: Transport,
        address: SocketAddr,
        advertised: Option<(&str, Option<u16>)>,
        tag: Option<String>,
    ) -> Self {
        let host = advertised.map_or_else(|| host_text(address.ip()), |(host, _)| host.to_owned());
        let port = advertised.and_then(|(_, port)| port).unwrap_or(address.port());
        Self {
            id,
            transport,
            address,
            sent_by: format!("{host}:{port}").into_bytes(),
            host: host.into_bytes(),
            port,
            name: NameId::NONE,
            tag,
            description: format!("{transport}:{address}"),
        }
    }
}

/// An address as it stands in a URI: IPv6 in brackets.
fn host_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// What counts as "myself" (`is_myself`, RFC 3261 section 16.4).
#[derive(Debug, Default)]
pub struct Identity {
    /// Host names and addresses in their text form, lower case, each with a port or 0 for any. A reload replaces them.
    names: ArcSwap<Vec<(Vec<u8>, u16)>>,
    /// Addresses with their ports.
    addresses: Vec<SocketAddr>,
}

impl Identity {
    /// Collects the sockets' addresses and advertised names, and the `alias` lines of the script.
    #[must_use]
    pub fn new(sockets: &[Socket], aliases: &[(String, u16)]) -> Self {
        let identity = Self {
            names: ArcSwap::default(),
            addresses: sockets.iter().map(|socket| socket.address).collect(),
        };
        identity.rename(sockets, aliases);
        identity
    }

    /// Replaces the names by those of the sockets and these aliases.
    pub fn rename(&self, sockets: &[Socket], aliases: &[(String, u16)]) {
        let mut names: Vec<(Vec<u8>, u16)> =
            aliases.iter().map(|(name, port)| (name.to_ascii_lowercase().into_bytes(), *port)).collect();
        for socket in sockets {
            names.push((socket.host.to_ascii_lowercase(), socket.port));
        }
        names.sort_unstable();
        names.dedup();
        self.names.store(Arc::new(names));
    }

    /// Whether `host` (with `port`, 0 for "not given") is this server.
    #[must_use]
    pub fn is_own(&self, host: &[u8], port: u16) -> bool {
        let plain = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(host);
        let own = |own_port: u16| port == 0 || own_port == 0 || own_port == port;
        let names = self.names.load();
        if plain.first().is_some_and(|first| first.is_ascii_digit() || plain.contains(&b':'))
            && let Some(address) =
                std::str::from_utf8(plain).ok().and_then(|text| text.parse::<IpAddr>().ok())
        {
            return self.addresses.iter().any(|at| at.ip() == address && own(at.port()))
                || names.iter().any(|(name, at)| own(*at) && ascii::eq_ignore_case(name, host));
        }
        names.iter().any(|(name, at)| own(*at) && ascii::eq_ignore_case(name, host))
    }
}

impl Node {
    /// The socket with this id.
    #[must_use]
    pub fn socket(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.get(usize::from(id))
    }

    /// The socket to send from towards `peer`: `preferred` when it fits the transport and the address
    /// family, else the first that fits.
    #[must_use]
    pub fn socket_for(&self, transport: Transport, peer: SocketAddr, preferred: SocketId) -> Option<&Socket> {
        let fits =
            |socket: &&Socket| socket.transport == transport && socket.address.is_ipv4() == peer.is_ipv4();
        self.socket(preferred).filter(fits).or_else(|| {
            let same_host = self.socket(preferred).map(|socket| socket.address.ip());
            let mut fitting = self.sockets.iter().filter(fits);
            fitting.clone().find(|socket| Some(socket.address.ip()) == same_host).or_else(|| fitting.next())
        })
    }

    /// The interned name of a socket, as bindings keep it.
    #[must_use]
    pub fn socket_name(&self, id: SocketId) -> NameId {
        self.socket(id).map_or(NameId::NONE, |socket| socket.name)
    }

    /// The socket with this interned name; none for a binding that another run of the server left.
    #[must_use]
    pub fn socket_by_name(&self, name: NameId) -> Option<SocketId> {
        self.sockets.iter().find(|socket| socket.name == name && name != NameId::NONE).map(|socket| socket.id)
    }

    /// How many transaction shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        TRANSACTION_SHARDS
    }

    /// The shards of a new server, empty, and the marks that they share.
    #[must_use]
    pub fn transaction_layer(keys: Keys, timers: Timers) -> (Vec<Mutex<Shard>>, Arc<Marks>) {
        let marks = Arc::new(Marks::default());
        let shard = |number| {
            let mut layer = Layer::new(number, keys, timers);
            layer.set_marks(Arc::clone(&marks));
            Mutex::new(layer)
        };
        ((0..TRANSACTION_SHARDS).map(shard).collect(), marks)
    }

    /// The transaction shard with this number.
    #[must_use]
    pub fn shard(&self, number: u16) -> Option<&Mutex<Shard>> {
        self.transactions.get(usize::from(number))
    }
}
