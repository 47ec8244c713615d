//! The management interface: any bytes as a request, over a server that has nothing to tell.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use seawall_control::Dispatcher;
use seawall_control::server::{Domain, LocationError, NewContact, Process, RecordSink, Server, Statistic};

static DISPATCHER: LazyLock<Dispatcher> = LazyLock::new(|| Dispatcher::new(Arc::new(Nothing)));

fuzz_target!(|input: &[u8]| {
    if let Some(response) = DISPATCHER.handle(input) {
        std::hint::black_box(response.into_bytes(1 << 20));
    }
});

struct Nothing;

impl Server for Nothing {
    fn version(&self) -> String {
        "Seawall".to_owned()
    }

    fn now_s(&self) -> u64 {
        0
    }

    fn started_s(&self) -> u64 {
        0
    }

    fn processes(&self) -> Vec<Process> {
        Vec::new()
    }

    fn log_level(&self) -> i8 {
        2
    }

    fn set_log_level(&self, _: i8) {}

    fn statistics(&self, _: &mut dyn FnMut(&Statistic<'_>)) {}

    fn reset_statistic(&self, _: &str, _: &str) {}

    fn reload(&self) -> Result<String, String> {
        Err("nothing to load".to_owned())
    }

    fn domains(&self) -> Vec<Domain> {
        vec![Domain { name: "location".to_owned(), hash_size: 1, parts: 1 }]
    }

    fn dump_part(&self, _: &str, _: usize, sink: &mut dyn RecordSink) {
        sink.aor(b"alice@example.com");
    }

    fn show_aor(&self, _: &str, _: &[u8], _: &mut dyn RecordSink) -> Result<(), LocationError> {
        Err(LocationError::AorNotFound)
    }

    fn remove_aor(&self, _: &str, _: &[u8]) -> Result<(), LocationError> {
        Err(LocationError::AorNotFound)
    }

    fn remove_contact(&self, _: &str, _: &[u8], _: &[u8]) -> Result<(), LocationError> {
        Err(LocationError::ContactNotFound)
    }

    fn add_contact(&self, _: &str, _: &[u8], _: &NewContact<'_>) -> Result<(), LocationError> {
        Ok(())
    }

    fn flush(&self) -> Result<(), LocationError> {
        Ok(())
    }
}
