//! Serves MI over a made-up location table, for trying clients:
//! `cargo run -p seawall-control --example mi_server -- [BINDINGS]`, and Enter to stop.

// Helpers of tests may fail loudly, as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::Duration;

use seawall_control::config::{Config, Datagram, DatagramSocket, Fifo, Http};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bindings: usize = std::env::args().nth(1).map_or(Ok(0), |text| text.parse())?;
    let mut server = common::FakeServer::with_bindings();
    (server.synthetic_in_part, server.more_parts) = (bindings / 1024, 1020);
    let config = Config {
        http: Some(Http { listen: vec!["127.0.0.1:0".parse()?], ..Http::default() }),
        fifo: Some(Fifo { path: std::env::temp_dir().join("seawall_mi_example"), ..Fifo::default() }),
        datagram: Some(Datagram::new(DatagramSocket::Udp("127.0.0.1:0".parse()?))),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let handle = seawall_control::serve(config, Arc::new(server), runtime.handle())?;
    println!("MI {:?}\nmetrics {:?}", handle.mi_url(), handle.metrics_url());
    println!("FIFO {:?}\ndatagrams {:?}", handle.fifo(), handle.datagram());
    handle.warnings().iter().for_each(|warning| println!("{warning}"));
    std::io::stdin().read_line(&mut String::new())?;
    runtime.block_on(handle.shutdown(Duration::from_secs(1)));
    Ok(())
}
