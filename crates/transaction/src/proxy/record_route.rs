//! Record-Route (RFC 3261 §16.6 step 4; twice where the transport or the address changes, RFC 5658).

/// One side of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side<'a> {
    /// Host, and port unless it is the default one.
    pub host_port: &'a [u8],
    /// The transport in lower case; `udp` is left out of the URI because it is the default.
    pub transport: &'a [u8],
}

/// What else goes into the URI.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// The user part.
    pub user: Option<&'a [u8]>,
    /// The From tag, by which the direction of later requests is told (`append_fromtag`).
    pub from_tag: Option<&'a [u8]>,
    /// Further parameters, each with its `;` (`add_rr_param`).
    pub params: &'a [u8],
}

/// Appends the Record-Route lines of a request that came in on one side and leaves on the other: one, or two when
/// the sides differ, each marked `r2=on` so that both are removed together from later requests. The outer side comes
/// first because the callee meets it first.
pub fn write(incoming: Side<'_>, outgoing: Side<'_>, extras: &Extras<'_>, out: &mut Vec<u8>) {
    if incoming == outgoing {
        write_line(incoming, false, extras, out);
    } else {
        write_line(outgoing, true, extras, out);
        write_line(incoming, true, extras, out);
    }
}

fn write_line(side: Side<'_>, double: bool, extras: &Extras<'_>, out: &mut Vec<u8>) {
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    put(&[b"Record-Route: <sip:"]);
    if let Some(user) = extras.user {
        put(&[user, b"@"]);
    }
    put(&[side.host_port]);
    if !side.transport.is_empty() && side.transport != b"udp" {
        put(&[b";transport=", side.transport]);
    }
    put(&[if double { b";r2=on" } else { b"" }, b";lr"]);
    if let Some(tag) = extras.from_tag {
        put(&[b";ftag=", tag]);
    }
    put(&[extras.params, b">\r\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: Side<'_> = Side { host_port: b"192.0.2.1:5060", transport: b"udp" };
    const TCP: Side<'_> = Side { host_port: b"192.0.2.1:5060", transport: b"tcp" };

    fn check(incoming: Side<'_>, outgoing: Side<'_>, extras: &Extras<'_>, expected: &str) {
        let mut out = Vec::new();
        write(incoming, outgoing, extras, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn one_line_where_nothing_changes() {
        check(UDP, UDP, &Extras::default(), "Record-Route: <sip:192.0.2.1:5060;lr>\r\n");
        let extras = Extras { from_tag: Some(b"a1"), params: b";nat=yes", ..Extras::default() };
        check(TCP, TCP, &extras, "Record-Route: <sip:192.0.2.1:5060;transport=tcp;lr;ftag=a1;nat=yes>\r\n");
    }

    #[test]
    fn two_lines_where_the_transport_changes_the_outgoing_first() {
        check(
            UDP,
            TCP,
            &Extras { user: Some(b"me"), ..Extras::default() },
            "Record-Route: <sip:me@192.0.2.1:5060;transport=tcp;r2=on;lr>\r\n\
             Record-Route: <sip:me@192.0.2.1:5060;r2=on;lr>\r\n",
        );
    }
}
