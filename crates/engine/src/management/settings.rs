//! What MI listens on.

use std::time::Duration;

use seawall_control::config::{Config, Datagram, Fifo, Http, Owner};
use seawall_modules::context::Context;
use seawall_script::{Program, Value};

/// What the management modules of a script say.
///
/// # Errors
/// A parameter that is not usable, as a sentence.
pub fn control_config(program: &Program<Context>) -> Result<Config, String> {
    let parameters = &program.parameters;
    let text = |module: &str, name: &str| {
        parameters
            .str(module, name)
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default()
    };
    let owner = |module: &str, name: &str| match parameters.value(module, name) {
        Value::Int(id) => u32::try_from(*id).ok().map(Owner::Id),
        Value::Str(name) if !name.is_empty() => Some(Owner::Name(String::from_utf8_lossy(name).into_owned())),
        _ => None,
    };
    let mode = |module: &str, name: &str| u32::try_from(parameters.int(module, name)).unwrap_or(0o660);
    let mut config = Config::default();
    if program.is_loaded("httpd") {
        let port = parameters.int("httpd", "port");
        let port = u16::try_from(port).map_err(|_| format!("httpd: {port} is no port"))?;
        let ip = text("httpd", "ip");
        let listen = Http::addresses(if ip.is_empty() { "127.0.0.1" } else { &ip }, port)
            .map_err(|_| format!("httpd: \"{ip}\" is no address"))?;
        let mut http = Http { listen, ..Http::default() };
        if program.is_loaded("mi_http") {
            http.root = text("mi_http", "root");
            http.token = Some(text("mi_http", "token")).filter(|token| !token.is_empty());
        }
        config.http = Some(http);
    }
    if program.is_loaded("mi_fifo") && !text("mi_fifo", "fifo_name").is_empty() {
        config.fifo = Some(Fifo {
            path: text("mi_fifo", "fifo_name").into(),
            mode: mode("mi_fifo", "fifo_mode"),
            user: owner("mi_fifo", "fifo_user"),
            group: owner("mi_fifo", "fifo_group"),
            reply_dir: text("mi_fifo", "reply_dir").into(),
            pretty: parameters.bool("mi_fifo", "pretty_printing"),
        });
    }
    let socket = text("mi_datagram", "socket_name");
    if program.is_loaded("mi_datagram") && !socket.is_empty() {
        let parsed =
            Datagram::parse_socket(&socket).map_err(|_| format!("mi_datagram: \"{socket}\" is no socket"))?;
        let timeout_ms = u64::try_from(parameters.int("mi_datagram", "socket_timeout")).unwrap_or(2000);
        config.datagram = Some(Datagram {
            mode: mode("mi_datagram", "unix_socket_mode"),
            user: owner("mi_datagram", "unix_socket_user"),
            group: owner("mi_datagram", "unix_socket_group"),
            timeout: Duration::from_millis(timeout_ms),
            pretty: parameters.bool("mi_datagram", "pretty_printing"),
            ..Datagram::new(parsed)
        });
    }
    Ok(config)
}
