//! Several messages one after the other, with what is remembered of those before and without: nothing else is found. They are
//! separated by NULs.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_sip::{Framing, Habits, Message, validate};

fuzz_target!(|bytes: &[u8]| {
    let mut habits = Habits::default();
    let messages: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    for framing in [Framing::Datagram, Framing::Stream] {
        for bytes in messages.iter().chain(&messages) {
            let (mut plain, mut by_habit) = (Message::empty(), Message::empty());
            plain.buffer_mut().extend_from_slice(bytes);
            by_habit.buffer_mut().extend_from_slice(bytes);
            assert_eq!(plain.scan_in_place(framing), by_habit.scan_by_habit(framing, &mut habits));
            assert_eq!(validate::request(&plain), validate::request(&by_habit));
            // What is known to be right is no part of what is found.
            let found = |message: &Message| format!("{message:?}").replace(": true", ": false");
            assert_eq!(found(&plain), found(&by_habit));
        }
    }
});
