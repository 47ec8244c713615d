//! Answers every datagram and every line with itself: what the loop costs without a server behind it.
//!
//! `cargo run --release -p seawall-net --example echo -- 127.0.0.1:5060 [workers] [seconds]`

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use seawall_net::{Config, Handler, Io, Net, Origin, SocketSpec, StreamFrame, StreamFramer, Transport};

struct Echo;

impl Handler for Echo {
    type Command = ();

    fn datagram(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
        io.datagram_slot(origin.socket, origin.peer).extend_from_slice(bytes);
    }

    fn stream_message(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
        // A peer that does not read has been closed then.
        let _ = io.answer(origin, None, bytes);
    }

    fn command(&mut self, _io: &mut Io, (): ()) {}

    fn idle(&self) -> bool {
        true
    }

    fn framer(&self) -> Box<dyn StreamFramer> {
        Box::new(Lines)
    }
}

struct Lines;

impl StreamFramer for Lines {
    fn frame(&mut self, buffered: &[u8]) -> StreamFrame {
        match buffered.iter().position(|&byte| byte == b'\n') {
            Some(end) => StreamFrame::Message { len: end + 1 },
            None => StreamFrame::Incomplete,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().unwrap_or_else(|| "127.0.0.1:5060".to_owned()).parse()?;
    let workers = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(60), |text| text.parse())?;
    let sockets = [Transport::Udp, Transport::Tcp].map(|transport| SocketSpec { transport, address });
    let bound = Net::bind(Config { workers, sockets: sockets.to_vec(), ..Config::default() })?;
    for socket in bound.sockets() {
        println!("{}:{}", socket.transport, socket.address);
    }
    let running = bound.start(|_| Echo)?;
    std::thread::sleep(Duration::from_secs(seconds));
    let stats = running.shutdown(1_000);
    for (name, meaning, value) in stats.counters.entries().filter(|(_, _, value)| *value > 0) {
        println!("{value:>12} {name}: {meaning}");
    }
    Ok(())
}
