//! The routing language: whatever stands in a file, loading it says what is wrong and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let diagnostics = seawall_script::parse(input);
    let _ = diagnostics.render(false);
});
