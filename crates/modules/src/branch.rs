//! One destination of a message.

use seawall_net::SocketId;
use seawall_script::Value;

/// "No q value": lookup without q, or a branch that the script added without one.
pub const NO_Q: u16 = u16::MAX;

/// Bytes of a destination that is small: its URIs have a dozen parameters.
const SMALL: usize = 1024;

/// A destination: the Request-URI to send and how to get there.
#[derive(Debug, Clone)]
pub struct Branch {
    /// The Request-URI; empty in the first destination while the script has not changed it.
    pub uri: Vec<u8>,
    /// The next hop as a URI, when it is not the Request-URI (`$du`); empty for none.
    pub destination: Vec<u8>,
    /// Route values to add, comma separated (RFC 3327); empty for none.
    pub path: Vec<u8>,
    /// The socket to send from, if one was chosen.
    pub socket: Option<SocketId>,
    /// Priority in thousandths, or [`NO_Q`].
    pub q: u16,
    /// Branch flags.
    pub flags: u32,
    /// Named values that the script attaches to the branch.
    pub attributes: Vec<(Vec<u8>, Value)>,
}

impl Default for Branch {
    fn default() -> Self {
        Self {
            uri: Vec::new(),
            destination: Vec::new(),
            path: Vec::new(),
            socket: None,
            q: NO_Q,
            flags: 0,
            attributes: Vec::new(),
        }
    }
}

impl Branch {
    /// Empties the branch and keeps its allocations.
    pub fn clear(&mut self) {
        self.uri.clear();
        self.destination.clear();
        self.path.clear();
        self.socket = None;
        self.q = NO_Q;
        self.flags = 0;
        self.attributes.clear();
    }

    /// Whether it takes so little memory that this may be kept for another one.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.uri.capacity() + self.destination.capacity() + self.path.capacity() <= SMALL
            && self.attributes.is_empty()
    }

    /// Makes this branch the same as another one, in the memory that it has.
    pub fn copy_from(&mut self, other: &Branch) {
        self.uri.clone_from(&other.uri);
        if !(self.destination.is_empty() && other.destination.is_empty()) {
            self.destination.clone_from(&other.destination);
        }
        if !(self.path.is_empty() && other.path.is_empty()) {
            self.path.clone_from(&other.path);
        }
        self.socket = other.socket;
        self.q = other.q;
        self.flags = other.flags;
        if !(self.attributes.is_empty() && other.attributes.is_empty()) {
            self.attributes.clone_from(&other.attributes);
        }
    }

    /// The attribute of this name.
    #[must_use]
    pub fn attribute(&self, name: &[u8]) -> Option<&Value> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Sets the attribute of this name; NULL removes it.
    pub fn set_attribute(&mut self, name: &[u8], value: Value) {
        self.attributes.retain(|(key, _)| key != name);
        if !value.is_null() {
            self.attributes.push((name.to_vec(), value));
        }
    }
}
