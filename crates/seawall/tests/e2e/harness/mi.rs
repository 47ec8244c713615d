//! Clients of the management interface, and of the metrics page.

use super::{PATIENCE, Server};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// Sends a JSON-RPC request over HTTP and gives the whole response object.
pub fn call(server: &Server, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let (status, body) = post(server.http(), "/mi", &request.to_string());
    assert_eq!(status, 200, "{body}");
    let response: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!(response["jsonrpc"], "2.0");
    assert_eq!(response["id"], 7);
    response
}

/// The result of a command that must succeed.
pub fn result(server: &Server, method: &str, params: Value) -> Value {
    let mut response = call(server, method, params);
    assert!(response.get("error").is_none(), "{method}: {response}");
    response["result"].take()
}

/// The code of the error of a command that must fail.
pub fn error(server: &Server, method: &str, params: Value) -> i64 {
    let response = call(server, method, params);
    response["error"]["code"].as_i64().unwrap_or_else(|| panic!("{method}: no error in {response}"))
}

/// One statistic by its full name, as `registrar:accepted_regs`.
pub fn statistic(server: &Server, name: &str) -> u64 {
    let values = result(server, "get_statistics", json!({"statistics": [name]}));
    values[name].as_u64().unwrap_or_else(|| panic!("no {name} in {values}"))
}

/// Waits until a statistic has a value: what another worker counts may come a moment later.
pub fn wait_for_statistic(server: &Server, name: &str, value: u64) {
    let deadline = Instant::now() + PATIENCE;
    while statistic(server, name) != value {
        assert!(Instant::now() < deadline, "{name} is {}, not {value}", statistic(server, name));
    }
}

/// The contacts of one address of record in the table `location`.
pub fn contacts(server: &Server, aor: &str) -> Vec<Value> {
    let response = call(server, "ul_show_contact", json!({"table_name": "location", "aor": aor}));
    if response["error"]["code"] == 404 {
        return Vec::new();
    }
    let contacts = response["result"]["Contacts"].as_array().cloned();
    contacts.unwrap_or_else(|| panic!("no contacts in {response}"))
}

/// The page of the metrics.
pub fn metrics(server: &Server) -> String {
    let (status, body) =
        http(server.http(), "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(status, 200);
    body
}

/// An HTTP POST: status and body.
pub fn post(address: SocketAddr, path: &str, body: &str) -> (u16, String) {
    let length = body.len();
    http(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ),
    )
}

fn http(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = &bytes[end + 4..];
    let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_vec() };
    (status, String::from_utf8(body).unwrap())
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 4 + length..];
    }
}
