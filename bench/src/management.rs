//! What a Seawall says about itself over its management interface.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::Error;

/// Sends one JSON-RPC call and gives the answer as it came, HTTP headers included.
///
/// # Errors
/// [`Error::System`] when nobody answers.
pub fn call(management: SocketAddr, body: &str) -> Result<String, Error> {
    let attempt = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(management)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(
            stream,
            "POST /mi HTTP/1.0\r\nHost: front\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    attempt().map_err(Error::system("the management interface does not answer"))
}

/// All statistics of a module, as text; [`value`] reads them.
///
/// # Errors
/// [`Error::System`] when nobody answers.
pub fn statistics(management: SocketAddr, module: &str) -> Result<String, Error> {
    call(
        management,
        &format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get_statistics\",\"params\":{{\"statistics\":[\"{module}:\"]}}}}"
        ),
    )
}

/// A statistic by its whole name (`module:name`); 0 when it is not among them.
pub fn value(statistics: &str, name: &str) -> u64 {
    let name = format!("\"{name}\":");
    let found = statistics.find(&name).and_then(|at| statistics.get(at + name.len()..));
    let digits = found.unwrap_or_default().trim_start().trim_start_matches('"');
    let end = digits.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_is_found_by_its_whole_name() {
        let text = "{\"result\":{\"usrloc:store_rows\": 12,\"usrloc:store_rows_more\":\"7\",\"usrloc:last\":99999999999}}";
        let read = |name| value(text, name);
        assert_eq!((read("usrloc:store_rows"), read("usrloc:store_rows_more")), (12, 7));
        assert_eq!((read("usrloc:last"), read("usrloc:stor")), (99_999_999_999, 0));
    }
}
