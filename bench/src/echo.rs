//! The yardstick: the cheapest thing that can answer a datagram. One thread, blocking, `recvfrom` and `sendto`.
//!
//! What a server costs beyond this is its own; what this costs is the kernel's. It answers with the request itself (a
//! 200 OK to a REGISTER is about as long), so its answers carry the branch by which the generator counts them. Its socket
//! has the receive buffer that those of Seawall have.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::{limits, socket};

/// `seawall-bench echo`: serves until it is ended.
#[derive(Clone, Debug, clap::Args)]
pub struct EchoArgs {
    /// Address and port to serve on; port 0 takes a free one, which is printed.
    #[arg(default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Pin to this CPU.
    #[arg(long)]
    pub cpu: Option<usize>,
    /// Cut or pad every answer to this many bytes; as long as the request when not given.
    #[arg(long)]
    pub reply_bytes: Option<usize>,
    /// Be busy for so many microseconds with every datagram: an echo as slow as a server with a long script.
    #[arg(long, default_value_t = 0)]
    pub work_us: u32,
}

/// Serves as `args` say and prints where.
///
/// # Errors
/// [`Error::System`] when the socket cannot be opened or fails, [`Error::Usage`] for an answer that is too long.
pub fn cli(args: &EchoArgs) -> Result<(), Error> {
    if let Some(cpu) = args.cpu {
        socket::pin_to_cpu(cpu).map_err(Error::system(format!("cannot pin the echo to CPU {cpu}")))?;
    }
    if args.reply_bytes.is_some_and(|bytes| bytes > limits::DATAGRAM_BYTES) {
        return Err(Error::Usage(format!("reply bytes: at most {}", limits::DATAGRAM_BYTES)));
    }
    let socket =
        UdpSocket::bind(args.listen).map_err(Error::system(format!("cannot bind {}", args.listen)))?;
    // A server keeps what comes while it stands still, and so must what it is compared with.
    let buffer_bytes = seawall_net::Limits::default().udp_receive_buffer_bytes;
    seawall_net::set_receive_buffer(&socket, buffer_bytes)
        .map_err(Error::system("cannot set the receive buffer"))?;
    let address = socket.local_addr().map_err(Error::system("cannot read the address"))?;
    println!("listening udp:{address}");
    let work = Duration::from_micros(args.work_us.into());
    serve_with_work(&socket, args.reply_bytes, work, u64::MAX)
}

/// Answers `most` datagrams and returns.
///
/// # Errors
/// [`Error::System`] when receiving fails. An answer that cannot be sent is dropped, as a network would.
pub fn serve(socket: &UdpSocket, reply_bytes: Option<usize>, most: u64) -> Result<(), Error> {
    serve_with_work(socket, reply_bytes, Duration::ZERO, most)
}

fn serve_with_work(
    socket: &UdpSocket,
    reply_bytes: Option<usize>,
    work: Duration,
    most: u64,
) -> Result<(), Error> {
    let mut buffer = [b' '; limits::DATAGRAM_BYTES];
    for _ in 0..most {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            // An ICMP message about an earlier answer, or a signal: neither is a datagram.
            Err(error) if is_passing(&error) => continue,
            Err(error) => return Err(Error::system("the echo cannot receive")(error)),
        };
        if !work.is_zero() {
            be_busy(work);
        }
        let reply = buffer.get(..reply_bytes.unwrap_or(length)).unwrap_or_default();
        let _ = socket.send_to(reply, from);
    }
    Ok(())
}

fn be_busy(work: Duration) {
    let began = Instant::now();
    while began.elapsed() < work {
        std::hint::spin_loop();
    }
}

fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::Interrupted)
}
