//! A phone: one socket, one user, blocking and patient.

use super::{Message, PATIENCE, Request, SILENCE, Server};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// The domain that the test scripts serve: the server's own address.
pub const DOMAIN: &str = "127.0.0.1";

/// After how long a request over UDP that nothing answers is sent again: later than any answer that is only slow.
const REPETITION: Duration = Duration::from_secs(3);

enum Wire {
    Udp(UdpSocket, SocketAddr),
    /// With what has been read and not yet taken.
    Tcp(TcpStream, Vec<u8>),
}

/// A user with a socket.
pub struct Phone {
    pub user: String,
    wire: Wire,
    /// Own host and port.
    pub address: SocketAddr,
}

impl Phone {
    /// A phone over UDP.
    pub fn udp(server: &Server, user: &str) -> Phone {
        Phone::udp_to(server.udp(), user)
    }

    /// A phone over UDP that talks to a given address.
    pub fn udp_to(server: SocketAddr, user: &str) -> Phone {
        let socket = UdpSocket::bind(if server.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
        let address = socket.local_addr().unwrap();
        Phone { user: user.to_owned(), wire: Wire::Udp(socket, server), address }
    }

    /// A phone over UDP at one address that talks to another.
    pub fn udp_between(own: &str, server: SocketAddr, user: &str) -> Phone {
        let socket = UdpSocket::bind(own).unwrap();
        let address = socket.local_addr().unwrap();
        Phone { user: user.to_owned(), wire: Wire::Udp(socket, server), address }
    }

    /// A phone over TCP.
    pub fn tcp(server: &Server, user: &str) -> Phone {
        let stream = TcpStream::connect(server.tcp()).unwrap();
        stream.set_nodelay(true).unwrap();
        let address = stream.local_addr().unwrap();
        Phone { user: user.to_owned(), wire: Wire::Tcp(stream, Vec::new()), address }
    }

    /// `UDP` or `TCP`, as in Via.
    pub fn transport(&self) -> &'static str {
        match self.wire {
            Wire::Udp(..) => "UDP",
            Wire::Tcp(..) => "TCP",
        }
    }

    /// The address of record.
    pub fn aor(&self) -> String {
        format!("sip:{}@{DOMAIN}", self.user)
    }

    /// The contact URI.
    pub fn contact(&self) -> String {
        match self.wire {
            Wire::Udp(..) => format!("sip:{}@{}", self.user, self.address),
            Wire::Tcp(..) => format!("sip:{}@{};transport=tcp", self.user, self.address),
        }
    }

    /// A request of this phone to any URI.
    pub fn request(&self, method: &str, uri: &str) -> Request {
        Request::new(method, uri, &self.aor(), uri, self.transport(), &self.address.to_string())
    }

    /// A REGISTER of this phone without a Contact.
    pub fn register_request(&self) -> Request {
        Request {
            to: format!("<{}>", self.aor()),
            ..Request::new(
                "REGISTER",
                &format!("sip:{DOMAIN}"),
                &self.aor(),
                &self.aor(),
                self.transport(),
                &self.address.to_string(),
            )
        }
    }

    /// A REGISTER of this phone's contact.
    pub fn register_for(&self, expires_s: u32) -> Request {
        self.register_request().with(format!("Contact: <{}>;expires={expires_s}", self.contact()))
    }

    /// So many MESSAGEs of another phone at the same server reach this one, which is registered, and are answered.
    pub fn hears(&mut self, caller: &mut Phone, count: usize) {
        for _ in 0..count {
            let message = caller.request("MESSAGE", &format!("sip:{}@127.0.0.1", self.user));
            caller.send(&message.bytes());
            let received = self.expect_request("MESSAGE");
            self.send(&received.reply(200, "OK", "a", "", ""));
            assert_eq!(caller.answer_to(&message).status(), 200);
        }
    }

    /// Registers this phone for an hour and gives the 200.
    pub fn register(&mut self) -> Message {
        let answer = self.ask(&self.register_for(3600));
        assert_eq!(answer.status(), 200, "{}", answer.start);
        answer
    }

    /// Registers as a phone does that asks again when it hears nothing, or 503: a server that is behind lets the kernel drop
    /// what it could not serve in time.
    pub fn register_in_the_end(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_registered_now() {
            assert!(Instant::now() < deadline, "{} was never registered", self.user);
        }
    }

    fn is_registered_now(&mut self) -> bool {
        self.send(&self.register_for(600).bytes());
        self.receive_within(SILENCE).is_some_and(|answer| answer.status() == 200)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket, server) => drop(socket.send_to(bytes, *server).unwrap()),
            Wire::Tcp(stream, _) => stream.write_all(bytes).unwrap(),
        }
    }

    /// Sends a request and gives its final answer. Over UDP it is sent again when nothing comes for long, as every client
    /// does (RFC 3261 section 17.1.2.2): where memory for sockets is short, the kernel drops what is on its way.
    pub fn ask(&mut self, request: &Request) -> Message {
        self.send(&request.bytes());
        let mut answer = match self.wire {
            Wire::Udp(..) => self.answer_with_repetitions(request),
            Wire::Tcp(..) => self.answer_to(request),
        };
        while answer.status() < 200 {
            answer = self.answer_to(request);
        }
        answer
    }

    fn answer_with_repetitions(&mut self, request: &Request) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.answer_within(request, REPETITION) {
                return answer;
            }
            let (cseq, method) = (request.cseq, &request.method);
            assert!(Instant::now() < deadline, "{} waited in vain for {cseq} {method}", self.user);
            self.send(&request.bytes());
        }
    }

    /// The next response to this request, final or not; others are passed over.
    pub fn answer_to(&mut self, request: &Request) -> Message {
        self.answer_within(request, PATIENCE)
            .unwrap_or_else(|| panic!("{} waited in vain for {} {}", self.user, request.cseq, request.method))
    }

    fn answer_within(&mut self, request: &Request, time: Duration) -> Option<Message> {
        let cseq = format!("{} {}", request.cseq, request.method);
        self.receive_where(time, |message| {
            message.is_response()
                && message.need("CSeq") == cseq
                && message.need("Call-ID") == request.call_id
        })
    }

    /// The next request of a method; others are passed over.
    pub fn expect_request(&mut self, method: &str) -> Message {
        self.receive_where(PATIENCE, |message| !message.is_response() && message.method() == method)
            .unwrap_or_else(|| panic!("{} waited in vain for {method}", self.user))
    }

    fn receive_where(&mut self, time: Duration, wanted: impl Fn(&Message) -> bool) -> Option<Message> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive_within(left) {
                Some(message) if wanted(&message) => return Some(message),
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Whatever comes next.
    pub fn receive(&mut self) -> Message {
        self.receive_within(PATIENCE).unwrap_or_else(|| panic!("{} received nothing", self.user))
    }

    /// Nothing comes for a while.
    pub fn expect_silence(&mut self) {
        if let Some(message) = self.receive_within(SILENCE) {
            panic!("{} expected silence and received {}", self.user, String::from_utf8_lossy(&message.bytes));
        }
    }

    /// Whatever comes within a time.
    pub fn receive_within(&mut self, time: Duration) -> Option<Message> {
        let deadline = Instant::now() + time;
        match &mut self.wire {
            Wire::Udp(socket, _) => {
                let mut buffer = vec![0; 65536];
                loop {
                    let left = deadline.saturating_duration_since(Instant::now());
                    socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
                    match socket.recv(&mut buffer) {
                        Ok(length) => return Some(Message::parse(&buffer[..length])),
                        Err(error) if is_timeout(&error) => return None,
                        // A wait with a limit is not taken up again by itself when the process was stopped meanwhile.
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            Wire::Tcp(stream, buffered) => loop {
                if let Some(length) = framed(buffered) {
                    let message: Vec<u8> = buffered.drain(..length).collect();
                    return Some(Message::parse(&message));
                }
                let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                stream.set_read_timeout(Some(left)).unwrap();
                let mut part = [0; 16384];
                match stream.read(&mut part) {
                    Ok(0) => return None,
                    Ok(length) => buffered.extend_from_slice(&part[..length]),
                    Err(error) if is_timeout(&error) => return None,
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => panic!("{error}"),
                }
            },
        }
    }

    /// Raw bytes from a TCP connection: exactly this many.
    pub fn read_raw(&mut self, length: usize) -> Vec<u8> {
        let Wire::Tcp(stream, buffered) = &mut self.wire else { panic!("not over UDP") };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = std::mem::take(buffered);
        let mut part = vec![0; length - bytes.len()];
        stream.read_exact(&mut part).unwrap();
        bytes.extend(part);
        bytes
    }

    /// The server closes the TCP connection, whatever it says before.
    pub fn expect_closed(&mut self) {
        let Wire::Tcp(stream, _) = &mut self.wire else { panic!("not over UDP") };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut part = [0; 4096];
        loop {
            match stream.read(&mut part) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("the connection stays open: {error}"),
            }
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The length of the first whole message, by its Content-Length.
fn framed(buffered: &[u8]) -> Option<usize> {
    let end = buffered.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let length: usize =
        Message::parse(&buffered[..end]).header("Content-Length").map_or(0, |value| value.parse().unwrap());
    (buffered.len() >= end + length).then_some(end + length)
}
