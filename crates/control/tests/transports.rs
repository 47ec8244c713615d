//! MI over real sockets and pipes on this host, with ports that the kernel chooses.

// Helpers of tests may fail loudly, as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::FakeServer;
use seawall_control::config::{Config, Datagram, DatagramSocket, Fifo, Http};
use seawall_control::{Handle, ServeError, serve};
use serde_json::{Value, json};

const VERSION: &str = r#"{"jsonrpc":"2.0","method":"version","id":1}"#;

/// A running management plane; it and its directory go away with the value.
struct Running {
    runtime: tokio::runtime::Runtime,
    handle: Option<Handle>,
}

impl Running {
    fn start(config: Config, server: FakeServer) -> Running {
        Running::try_start(config, server).unwrap()
    }

    fn try_start(config: Config, server: FakeServer) -> Result<Running, ServeError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let handle = Some(serve(config, Arc::new(server), runtime.handle())?);
        Ok(Running { runtime, handle })
    }

    fn http(config: Http) -> Running {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let config = Config { http: Some(Http { listen, ..config }), ..Config::default() };
        Running::start(config, FakeServer::with_bindings())
    }

    fn handle(&self) -> &Handle {
        self.handle.as_ref().unwrap()
    }

    fn address(&self) -> SocketAddr {
        self.handle().http()[0]
    }

    fn stop(&mut self) {
        let handle = self.handle.take().unwrap();
        self.runtime.block_on(handle.shutdown(Duration::from_secs(5)));
    }
}

/// A directory of this test's own.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("seawall-control-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
}

/// Sends raw bytes and reads to the end; gives the status and the whole text.
fn talk(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = connect(address);
    // The server may close before it has read everything.
    let _ = stream.write_all(request);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    let text = String::from_utf8_lossy(&reply).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, text)
}

fn check_status(running: &Running, request: &str, expected: u16) -> String {
    let (status, text) = talk(running.address(), request.as_bytes());
    assert_eq!(status, expected, "{request}\n{text}");
    text
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn http_answers_a_posted_request() {
    let running = Running::http(Http::default());
    let text = check_status(&running, &post("/mi", JSON, VERSION), 200);
    assert!(text.to_ascii_lowercase().contains("content-type: application/json"));
    assert!(text.ends_with(r#"{"jsonrpc":"2.0","result":{"Server":"Seawall (0.1.0 (test))"},"id":1}"#));
    check_status(&running, &post("/mi", "", VERSION), 200);
    check_status(&running, &post("/mi", "Content-Type: application/json; charset=utf-8\r\n", VERSION), 200);
    // Errors of commands are JSON-RPC's, not HTTP's.
    check_status(&running, &post("/mi", JSON, "nonsense"), 200);
    check_status(&running, &post("/mi", JSON, r#"{"jsonrpc":"2.0","method":"ul_flush"}"#), 204);
}

#[test]
fn http_refuses_other_paths_methods_and_types() {
    let running = Running::http(Http { root: "/opensips_mi/".to_owned(), ..Http::default() });
    assert!(running.handle().mi_url().unwrap().ends_with("/opensips_mi"));
    check_status(&running, &post("/opensips_mi", JSON, VERSION), 200);
    check_status(&running, &post("/mi", JSON, VERSION), 404);
    check_status(&running, "GET /opensips_mi HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405);
    check_status(&running, &post("/opensips_mi", "Content-Type: text/plain\r\n", VERSION), 415);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    check_status(&running, &post("/opensips_mi", form, VERSION), 415);
}

#[test]
fn a_root_that_is_no_plain_path_is_an_error() {
    for root in ["metrics", "{x}", "a b", "a//b", "a\nb"] {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let http = Some(Http { listen, root: root.to_owned(), ..Http::default() });
        let started = Running::try_start(Config { http, ..Config::default() }, FakeServer::default());
        assert!(matches!(started.err(), Some(ServeError::Root(_))), "{root:?}");
    }
}

#[test]
fn web_pages_of_other_sites_may_not_ask() {
    let running = Running::http(Http::default());
    let with_origin = |origin: &str| post("/mi", &format!("{JSON}Origin: {origin}\r\n"), VERSION);
    for origin in ["http://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:99"] {
        check_status(&running, &with_origin(origin), 403);
    }
    check_status(&running, &with_origin("http://127.0.0.1"), 200);
    // A name that its owner lets point here is a foreign page too.
    let request = with_origin("http://evil.example").replace("Host: 127.0.0.1", "Host: evil.example");
    check_status(&running, &request, 403);
}

#[test]
fn a_token_is_asked_for_when_one_is_set() {
    let running = Running::http(Http { token: Some("s3cret".to_owned()), ..Http::default() });
    let with = |value: &str| post("/mi", &format!("{JSON}Authorization: {value}\r\n"), VERSION);
    assert!(check_status(&running, &post("/mi", JSON, VERSION), 401).contains("Bearer"));
    for wrong in ["Bearer s3cre", "Bearer s3cret2", "Bearer S3CRET", "Basic s3cret", "s3cret", "Bearer", ""] {
        check_status(&running, &with(wrong), 401);
    }
    check_status(&running, &with("Bearer s3cret"), 200);
    check_status(&running, &with("bearer s3cret"), 200);
    let metrics = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    check_status(&running, metrics, 401);
    assert!(
        !format!("{:?}", Http { token: Some("s3cret".to_owned()), ..Http::default() }).contains("s3cret")
    );
}

#[test]
fn metrics_are_in_the_text_form_of_prometheus() {
    let running = Running::http(Http::default());
    let text = check_status(&running, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200);
    assert!(text.contains("text/plain; version=0.0.4"));
    for line in [
        "# TYPE seawall_core_rcv_requests_total counter",
        "seawall_core_rcv_requests_total 7",
        "# TYPE seawall_usrloc_location_contacts gauge",
        "seawall_usrloc_location_contacts 3",
        "process_start_time_seconds 1767225510",
        "seawall_build_info{version=\"Seawall (0.1.0 (test))\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let running = Running::http(Http::default());
    let mut stream = connect(running.address());
    let request = post("/mi", JSON, VERSION).replace("Connection: close\r\n", "");
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = vec![0; 4096];
        let mut len = 0;
        while !reply[..len].ends_with(b"\"id\":1}") {
            len += stream.read(&mut reply[len..]).unwrap();
        }
    }
}

#[test]
fn an_oversized_request_is_refused() {
    let running = Running::http(Http { max_request_bytes: 1000, ..Http::default() });
    check_status(&running, &post("/mi", JSON, &" ".repeat(1001)), 413);
    let head = format!("POST /mi HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    check_status(&running, &head, 431);
    check_status(&running, &post("/mi", JSON, VERSION), 200);
}

#[test]
fn a_command_that_panics_is_an_internal_error_and_the_service_goes_on() {
    let running = Running::http(Http::default());
    let request = r#"{"jsonrpc":"2.0","method":"ul_rm","params":["location","panic@example.org"],"id":1}"#;
    assert!(check_status(&running, &post("/mi", JSON, request), 200).contains("-32603"));
    check_status(&running, &post("/mi", JSON, VERSION), 200);
}

#[test]
fn many_idle_connections_are_bounded_and_closed() {
    let running = Running::http(Http { idle: Duration::from_millis(300), ..Http::default() });
    // More than the limit: those beyond it are closed at once.
    let mut idle: Vec<TcpStream> = (0..300).map(|_| connect(running.address())).collect();
    for stream in &mut idle {
        let mut rest = Vec::new();
        // Either way the connection ends: refused at once, or given up after the idle time.
        let _ = stream.read_to_end(&mut rest);
    }
    check_status(&running, &post("/mi", JSON, VERSION), 200);
}

#[test]
fn a_slow_sender_within_the_time_is_served() {
    let running = Running::http(Http::default());
    let mut stream = connect(running.address());
    stream.set_nodelay(true).unwrap();
    for byte in post("/mi", JSON, VERSION).as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[test]
fn a_long_dump_streams_while_others_are_served() {
    let server = FakeServer { synthetic_in_part: 5000, ..FakeServer::default() };
    let http = Some(Http { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Http::default() });
    let running = Running::start(Config { http, ..Config::default() }, server);
    // A client that has asked and does not read yet holds nobody up.
    let mut slow = connect(running.address());
    let dump = r#"{"jsonrpc":"2.0","method":"ul_dump","id":1}"#;
    slow.write_all(post("/mi", JSON, dump).as_bytes()).unwrap();
    for _ in 0..20 {
        check_status(&running, &post("/mi", JSON, VERSION), 200);
    }
    let client = seawall_control::client::Client::new(&running.handle().mi_url().unwrap()).unwrap();
    let whole = client.result("ul_dump", &Value::Null).unwrap();
    assert_eq!(whole["Domains"][0]["AORs"].as_array().unwrap().len(), 20_000);
    let mut text = Vec::new();
    slow.read_to_end(&mut text).unwrap();
    assert!(text.len() > 20_000 * 200);
    assert!(text.ends_with(b"\r\n0\r\n\r\n"));
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let running = Running::http(Http::default());
    let http = Some(Http { listen: vec![running.address()], ..Http::default() });
    let again = Running::try_start(Config { http, ..Config::default() }, FakeServer::default());
    let message = again.err().unwrap().to_string();
    assert!(message.contains(&running.address().to_string()), "{message}");
}

#[test]
fn listening_to_everybody_without_a_token_warns() {
    let start = |token: Option<&str>| {
        let listen = Http::addresses("*", 0).unwrap();
        let http = Some(Http { listen, token: token.map(str::to_owned), ..Http::default() });
        Running::start(Config { http, ..Config::default() }, FakeServer::default())
    };
    let open = start(None);
    assert!(open.handle().warnings()[0].contains("without a token"), "{:?}", open.handle().warnings());
    assert!(!start(Some("t")).handle().warnings().iter().any(|warning| warning.contains("without a token")));
}

#[test]
fn shutdown_lets_a_reply_finish_and_closes_the_port() {
    let server = FakeServer { synthetic_in_part: 5000, ..FakeServer::default() };
    let http = Some(Http { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Http::default() });
    let mut running = Running::start(Config { http, ..Config::default() }, server);
    let address = running.address();
    let client = seawall_control::client::Client::new(&running.handle().mi_url().unwrap()).unwrap();
    let mut body = client.call("ul_dump", &Value::Null).unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        body.read_to_string(&mut text).map(|_| text)
    });
    running.stop();
    let text = reader.join().unwrap().unwrap();
    assert!(text.ends_with(",\"id\":1}"));
    assert!(TcpStream::connect(address).is_err());
}

fn fifo_config(directory: &Directory) -> Fifo {
    Fifo { path: directory.path("run/mi"), mode: 0o600, reply_dir: directory.0.clone(), ..Fifo::default() }
}

fn fifo(config: Fifo) -> Running {
    Running::start(Config { fifo: Some(config), ..Config::default() }, FakeServer::with_bindings())
}

fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_bits_truncate(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// Writes a request the way clients do, and reads one line from the reply pipe.
fn ask_fifo(directory: &Directory, request: &str, reply: &str) -> String {
    let reply = directory.path(reply);
    make_fifo(&reply);
    std::fs::write(directory.path("run/mi"), request).unwrap();
    let text = std::fs::read_to_string(&reply).unwrap();
    std::fs::remove_file(&reply).unwrap();
    text
}

#[test]
fn a_fifo_answers_into_the_reply_pipe() {
    let directory = Directory::new();
    let running = fifo(fifo_config(&directory));
    let path = running.handle().fifo().unwrap();
    let found = std::fs::metadata(path).unwrap();
    assert!(found.file_type().is_fifo());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let expected = "{\"jsonrpc\":\"2.0\",\"result\":{\"Server\":\"Seawall (0.1.0 (test))\"},\"id\":1}\n";
    assert_eq!(ask_fifo(&directory, &format!(":r1:{VERSION}"), "r1"), expected);
    assert_eq!(ask_fifo(&directory, &format!(":r2:{VERSION}\n"), "r2"), expected);
    // Rubbish, and requests that want no reply, do not disturb the next one.
    let mixed = format!("rubbish\n::{VERSION}\n:r3:{VERSION}");
    assert_eq!(ask_fifo(&directory, &mixed, "r3"), expected);
    assert!(ask_fifo(&directory, ":r4:nonsense\n", "r4").contains("-32700"));
}

#[test]
fn a_fifo_reply_is_indented_when_asked_for() {
    let directory = Directory::new();
    let _running = fifo(Fifo { pretty: true, ..fifo_config(&directory) });
    let text = ask_fifo(&directory, &format!(":r1:{VERSION}"), "r1");
    assert!(
        text.starts_with("{\n    \"jsonrpc\": \"2.0\",\n    \"result\": {\n        \"Server\""),
        "{text}"
    );
}

#[test]
fn fifo_replies_leave_neither_their_directory_nor_go_into_files() {
    let directory = Directory::new();
    let outside = directory.path("outside");
    make_fifo(&outside);
    let inside = directory.path("replies");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(inside.join("file"), "untouched").unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
    let _running = fifo(Fifo { reply_dir: inside.clone(), ..fifo_config(&directory) });
    for name in ["../outside", "link", "file", "missing"] {
        std::fs::write(directory.path("run/mi"), format!(":{name}:{VERSION}")).unwrap();
    }
    make_fifo(&inside.join("good"));
    std::fs::write(directory.path("run/mi"), format!(":good:{VERSION}")).unwrap();
    assert!(std::fs::read_to_string(inside.join("good")).unwrap().contains("Seawall"));
    assert_eq!(std::fs::read_to_string(inside.join("file")).unwrap(), "untouched");
    // Nobody has opened the pipe outside: opening it to write without a reader fails.
    let flags = std::os::unix::fs::OpenOptionsExt::custom_flags(
        std::fs::OpenOptions::new().write(true),
        libc::O_NONBLOCK,
    )
    .open(&outside);
    assert_eq!(flags.unwrap_err().raw_os_error(), Some(libc::ENXIO));
}

#[test]
fn a_long_dump_goes_through_a_fifo() {
    let directory = Directory::new();
    let server = FakeServer { synthetic_in_part: 2000, ..FakeServer::default() };
    let config = Config { fifo: Some(fifo_config(&directory)), ..Config::default() };
    let _running = Running::start(config, server);
    let text = ask_fifo(&directory, r#":r:{"jsonrpc":"2.0","method":"ul_dump","id":1}"#, "r");
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reply["result"]["Domains"][0]["AORs"].as_array().unwrap().len(), 8000);
}

#[test]
fn a_fifo_that_cannot_be_made_is_a_warning_and_the_rest_starts() {
    let directory = Directory::new();
    std::fs::write(directory.path("file"), "not a directory").unwrap();
    for path in ["file", "file/mi"] {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let config = Config {
            http: Some(Http { listen, ..Http::default() }),
            fifo: Some(Fifo { path: directory.path(path), ..Fifo::default() }),
            datagram: None,
        };
        let running = Running::start(config, FakeServer::with_bindings());
        assert_eq!(running.handle().fifo(), None);
        assert!(running.handle().warnings()[0].contains("MI over FIFO is off"));
        check_status(&running, &post("/mi", JSON, VERSION), 200);
    }
    assert_eq!(std::fs::read_to_string(directory.path("file")).unwrap(), "not a directory");
}

#[test]
fn a_fifo_of_an_earlier_run_is_replaced_and_ours_removed_at_the_end() {
    let directory = Directory::new();
    std::fs::create_dir(directory.path("run")).unwrap();
    make_fifo(&directory.path("run/mi"));
    let mut running = fifo(fifo_config(&directory));
    assert!(ask_fifo(&directory, &format!(":r:{VERSION}"), "r").contains("Seawall"));
    running.stop();
    assert!(!directory.path("run/mi").exists());
}

fn datagram(socket: DatagramSocket, config: impl FnOnce(&mut Datagram)) -> Running {
    let mut datagram = Datagram::new(socket);
    config(&mut datagram);
    let config = Config { datagram: Some(datagram), ..Config::default() };
    Running::start(config, FakeServer { synthetic_in_part: 1000, ..FakeServer::with_bindings() })
}

fn udp(config: impl FnOnce(&mut Datagram)) -> (Running, UdpSocket) {
    let running = datagram(Datagram::parse_socket("udp:127.0.0.1:0").unwrap(), config);
    let Some(DatagramSocket::Udp(address)) = running.handle().datagram() else { panic!("not UDP") };
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.connect(address).unwrap();
    (running, client)
}

fn ask_udp(client: &UdpSocket, request: &[u8]) -> Value {
    client.send(request).unwrap();
    let mut reply = vec![0; 70_000];
    let len = client.recv(&mut reply).unwrap();
    serde_json::from_slice(&reply[..len]).unwrap()
}

#[test]
fn a_udp_datagram_is_answered_by_one() {
    let (_running, client) = udp(|_| {});
    assert_eq!(ask_udp(&client, VERSION.as_bytes())["result"]["Server"], "Seawall (0.1.0 (test))");
    assert_eq!(ask_udp(&client, b"\xff\xfe")["error"]["code"], -32700);
    assert_eq!(ask_udp(&client, b"")["error"]["code"], -32700);
}

#[test]
fn a_reply_too_large_for_a_datagram_is_an_error() {
    let (_running, client) = udp(|_| {});
    let reply = ask_udp(&client, br#"{"jsonrpc":"2.0","method":"ul_dump","id":1}"#);
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["message"]),
        (&json!(500), &json!("Reply too large"))
    );
}

#[test]
fn a_request_too_large_for_the_buffer_is_dropped() {
    let (_running, client) = udp(|config| config.max_bytes = 200);
    client.send(&[b' '; 201]).unwrap();
    assert_eq!(ask_udp(&client, VERSION.as_bytes())["id"], 1);
}

#[test]
fn a_unix_socket_is_answered_and_removed_at_the_end() {
    let directory = Directory::new();
    let path = directory.path("mi.sock");
    let mut running = datagram(DatagramSocket::Unix(path.clone()), |config| config.mode = 0o600);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let client = UnixDatagram::bind(directory.path("client.sock")).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Somebody without a name cannot be answered, and does no harm.
    UnixDatagram::unbound().unwrap().send_to(VERSION.as_bytes(), &path).unwrap();
    client.send_to(VERSION.as_bytes(), &path).unwrap();
    let mut reply = [0; 1000];
    let len = client.recv(&mut reply).unwrap();
    assert!(String::from_utf8_lossy(&reply[..len]).contains("Seawall"));
    running.stop();
    assert!(!path.exists());
}

#[test]
fn socket_names_are_addresses_or_paths() {
    let parse = |name: &str| Datagram::parse_socket(name).ok();
    let udp = |address: &str| Some(DatagramSocket::Udp(address.parse().unwrap()));
    assert_eq!(parse("udp:192.0.2.1:8080"), udp("192.0.2.1:8080"));
    assert_eq!(parse("udp:*:8080"), udp("0.0.0.0:8080"));
    assert_eq!(parse("udp:[::1]:8080"), udp("[::1]:8080"));
    assert_eq!(parse("/tmp/x.sock"), Some(DatagramSocket::Unix("/tmp/x.sock".into())));
    assert_eq!(parse("udp:host:8080"), None);
}
