//! All phones of a network at one address: takes pings, answers those that are requests, and tells how evenly they
//! came.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use seawall_sip::{Message, response_into};
use socket2::SockRef;

use crate::error::Error;
use crate::limits;

/// The windows in which pings are counted, in milliseconds.
const WINDOW_MS: u64 = 100;

/// Bytes that may wait in the kernel, so that a pause of this program loses nothing.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// How long a read waits, so that the end is seen.
const LOOK: Duration = Duration::from_millis(10);

/// `seawall-bench phones`: takes pings for a while.
#[derive(Clone, Debug, clap::Args)]
pub struct PhonesArgs {
    /// Address and port to be pinged at; port 0 takes a free one, which is printed.
    #[arg(default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// For how many seconds.
    #[arg(short, long, default_value_t = 60)]
    pub duration: u64,
    /// Answer no request.
    #[arg(long)]
    pub silent: bool,
}

/// Takes pings as `args` say, and prints how many came in windows of 100 ms.
///
/// # Errors
/// [`Error::System`] when the socket cannot be opened or fails.
pub fn cli(args: &PhonesArgs) -> Result<(), Error> {
    let socket =
        UdpSocket::bind(args.listen).map_err(Error::system(format!("cannot bind {}", args.listen)))?;
    let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.set_read_timeout(Some(LOOK)).map_err(Error::system("cannot set a timeout"))?;
    let address = socket.local_addr().map_err(Error::system("cannot read the address"))?;
    println!("listening udp:{address}");
    let duration = Duration::from_secs(args.duration.min(limits::MAX_DURATION_S));
    println!("{}", take(&socket, duration, args.silent)?.summary());
    Ok(())
}

/// Takes pings for a while.
///
/// # Errors
/// [`Error::System`] when receiving fails. An answer that cannot be sent is dropped, as a network would.
pub fn take(socket: &UdpSocket, duration: Duration, silent: bool) -> Result<Windows, Error> {
    let mut windows = Windows::new(duration);
    let mut buffer = vec![0; limits::DATAGRAM_BYTES];
    let mut answer = Vec::new();
    let start = Instant::now();
    while start.elapsed() < duration {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if is_passing(&error) => continue,
            Err(error) => return Err(Error::system("the phones cannot receive")(error)),
        };
        windows.count(start.elapsed());
        let packet = buffer.get(..length).unwrap_or_default();
        if silent || packet == b"\r\n\r\n" {
            continue;
        }
        let Ok(request) = Message::parse(packet.to_vec()) else { continue };
        answer.clear();
        response_into(&mut answer, &request, 200, b"OK", Some(b"phone"), None, b"");
        let _ = socket.send_to(&answer, from);
    }
    Ok(windows)
}

fn is_passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | Interrupted | TimedOut | WouldBlock)
}

/// How many pings came in each window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows(Vec<u64>);

impl Windows {
    fn new(duration: Duration) -> Self {
        let count = u64::try_from(duration.as_millis()).unwrap_or(0).div_ceil(WINDOW_MS);
        Windows(vec![0; usize::try_from(count).unwrap_or(0)])
    }

    fn count(&mut self, at: Duration) {
        let window = u64::try_from(at.as_millis()).unwrap_or(u64::MAX) / WINDOW_MS;
        if let Some(count) = usize::try_from(window).ok().and_then(|window| self.0.get_mut(window)) {
            *count += 1;
        }
    }

    /// All pings, the mean of a window, its extremes, and the share of windows within a tenth of the mean.
    #[must_use]
    pub fn summary(&self) -> String {
        let all: u64 = self.0.iter().sum();
        let windows = self.0.len().max(1) as u64;
        let mean = all as f64 / windows as f64;
        let near = self.0.iter().filter(|count| (**count as f64 - mean).abs() <= mean / 10.0).count();
        format!(
            "{all} pings; in {WINDOW_MS} ms: mean {mean:.1}, least {}, most {} ({:.2} × mean), {:.1} % within a tenth",
            self.0.iter().min().copied().unwrap_or(0),
            self.0.iter().max().copied().unwrap_or(0),
            self.0.iter().max().map_or(0.0, |most| *most as f64 / mean.max(f64::MIN_POSITIVE)),
            near as f64 * 100.0 / windows as f64,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_summed_up() {
        let mut windows = Windows::new(Duration::from_millis(350));
        for at_ms in [0, 99, 100, 250, 260, 399, 400, 9999] {
            windows.count(Duration::from_millis(at_ms));
        }
        assert_eq!(windows, Windows(vec![2, 1, 2, 1]));
        assert_eq!(
            windows.summary(),
            "6 pings; in 100 ms: mean 1.5, least 1, most 2 (1.33 × mean), 0.0 % within a tenth"
        );
    }
}
