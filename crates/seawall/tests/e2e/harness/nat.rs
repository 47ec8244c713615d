//! A NAT in miniature: each phone behind it has an outside port of its own, which takes packets of the server alone.

use super::{Phone, Server};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How soon the threads see that the test is over.
const LOOK: Duration = Duration::from_millis(20);

/// A port translation for one phone after the other.
pub struct Nat {
    server: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// A phone behind a NAT, which believes to have a private address.
pub struct Hidden {
    pub phone: Phone,
    /// Where the server sees it.
    pub outside: SocketAddr,
}

impl Nat {
    /// A NAT between phones and a server.
    pub fn new(server: &Server) -> Nat {
        Nat { server: server.udp(), stop: Arc::default(), threads: Vec::new() }
    }

    /// A phone with this address inside.
    pub fn phone(&mut self, user: &str, private: &str) -> Hidden {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(LOOK)).unwrap();
            socket
        };
        let (inside, outside) = (socket(), socket());
        let address = outside.local_addr().unwrap();
        let mut phone = Phone::udp_to(inside.local_addr().unwrap(), user);
        phone.address = private.parse().unwrap();
        let behind: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let server = self.server;
        let (from_inside, to_outside) = (inside.try_clone().unwrap(), outside.try_clone().unwrap());
        let seen = Arc::clone(&behind);
        self.pass(from_inside, move |packet, from| {
            *seen.lock().unwrap() = Some(from);
            drop(to_outside.send_to(packet, server));
        });
        self.pass(outside, move |packet, from| {
            if let (true, Some(phone)) = (from == server, *behind.lock().unwrap()) {
                drop(inside.send_to(packet, phone));
            }
        });
        Hidden { phone, outside: address }
    }

    fn pass(&mut self, from: UdpSocket, forward: impl Fn(&[u8], SocketAddr) + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((length, sender)) = from.recv_from(&mut buffer) {
                    forward(&buffer[..length], sender);
                }
            }
        }));
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
