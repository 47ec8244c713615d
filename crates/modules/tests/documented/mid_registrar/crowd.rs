//! `overload`: what becomes of new contacts while more waits than can be served.

use super::{PHONE, front, register, registered};

const OTHER: &str = "<sip:bob@198.51.100.9:5070>;expires=60";

#[test]
fn overload_says_what_becomes_of_new_contacts_and_counts_them_as_shed_regs() {
    let check = |parameters: &str, expected: &[&str], is_shed: bool| {
        let mut server = front(&format!("\"mode\", 1\n{parameters}"), "");
        registered(&mut server, &register(1, PHONE));
        server.is_behind = true;
        let refresh = server.receive(&register(2, PHONE));
        assert_eq!((refresh.log.join(""), refresh.only().start()), ("2".to_owned(), "SIP/2.0 200 OK"));
        let new = server.receive(&register(3, OTHER));
        let seconds = |wait: &str| wait.parse().is_ok_and(|wait: u32| (10..30).contains(&wait));
        let sent = new.sent.iter().map(|packet| match packet.header("Retry-After") {
            wait if seconds(&wait) => format!("{} some time", packet.start()),
            wait => format!("{} {wait}", packet.start()),
        });
        assert_eq!(sent.collect::<Vec<_>>(), expected, "{parameters}");
        assert_eq!(new.log, [if is_shed { "-1" } else { "1" }], "{parameters}");
        let counted = |name: &str| server.counter("mid_registrar", name);
        let shed = u64::from(is_shed);
        assert_eq!((counted("shed_regs"), counted("refused_regs")), (shed, shed));
        // When it has caught up, they are welcome.
        server.is_behind = false;
        assert_eq!(server.receive(&register(4, OTHER)).log, ["1"], "{parameters}");
    };
    let refused = "SIP/2.0 503 Service Unavailable";
    let forwarded = "REGISTER sip:203.0.113.3:5070 SIP/2.0 ";
    check("", &[forwarded], false);
    check("\"overload\", \"off\"", &[forwarded], false);
    check("\"overload\", \"reply\"", &[&format!("{refused} some time")], true);
    check("\"overload\", \"reply\"\n\"retry_after\", 77", &[&format!("{refused} 77")], true);
    check("\"overload\", \"drop\"", &[], true);
}
