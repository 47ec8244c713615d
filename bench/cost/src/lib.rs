//! One operation of Seawall's pure crates, many times: what `cargo xtask budget` counts the instructions of.
//!
//! Everything that is measured happens in functions whose names begin with `measured`; making the messages does not. No
//! socket, no clock and no random number take part, so the count is the same each time.

mod mid;
mod register;
mod relay;
mod wire;

pub use register::Registrar;

/// Does one operation so many times.
pub type Run = fn(u32) -> Result<(), Fault>;

/// The operations by their names.
pub const OPERATIONS: [(&str, Run); 9] = [
    ("fresh", register::fresh),
    ("fresh-instance", register::fresh_instance),
    ("refresh", register::refresh),
    ("refresh-pushed", register::pushed),
    ("message", relay::message),
    ("invite", relay::invite),
    ("absorbed", mid::absorbed),
    ("forwarded", mid::forwarded),
    ("forwarded-aor", mid::forwarded_aor),
];

/// Which part of an operation did not go as it should: its cost would be that of something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_does_what_it_is_measured_for() {
        for (name, run) in OPERATIONS {
            assert_eq!(run(300), Ok(()), "{name}");
        }
    }
}
