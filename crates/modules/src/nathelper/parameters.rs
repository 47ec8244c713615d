//! The parameters of `nathelper`, and what is made of them.

use seawall_script::{Parameter, ParameterKind, Program, Value};

use super::NatSettings;
use crate::context::Context;

/// Said of the parameters that need nodes which know of each other.
const NO_CLUSTER: &str = "clustering is not provided yet: every node pings its own contacts";

/// Every parameter of the document, in its order.
pub const ALL: &[Parameter] = &[
    Parameter::new(
        "received_avp",
        ParameterKind::Variable,
        "",
        "The variable that fix_nated_register() fills; the parameter of the same name of `registrar` has to name it too.",
    )
    .section("1.4.5"),
    Parameter::new(
        "nortpproxy_str",
        ParameterKind::Str,
        "a=nortpproxy:yes",
        "The line that marks a session description as changed; empty for none. A line break at its end may be left out.",
    )
    .section("1.4.13")
    .check(check_marker),
    Parameter::new(
        "oldip_skip",
        ParameterKind::Str,
        "",
        "Which old addresses fix_nated_sdp() does not keep: `o` that of the origin (`a=oldoip`), `c` that of media (`a=oldcip`).",
    )
    .section("1.4.15")
    .check(check_skip),
    Parameter::new("cluster_id", ParameterKind::Int, "0", "The cluster that this node is part of.")
        .section("1.4.18")
        .no_effect(NO_CLUSTER),
    Parameter::new("cluster_sharing_tag", ParameterKind::Str, "", "The sharing tag of the node that pings.")
        .section("1.4.19")
        .no_effect(NO_CLUSTER),
];

fn check_marker(value: &Value) -> Result<(), String> {
    let text = value.clone().into_bytes().unwrap_or_default();
    let line = text.strip_suffix(b"\r\n").unwrap_or(&text);
    let fields = [b"\r\n", line].concat();
    if line.is_empty() || super::sdp::is_fields(&fields) {
        Ok(())
    } else {
        Err("it is a line of a session description, \"a=nortpproxy:yes\\r\\n\"".to_owned())
    }
}

fn check_skip(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if text.iter().all(|letter| matches!(letter, b'o' | b'c')) => Ok(()),
        _ => Err("it is made of the letters o and c".to_owned()),
    }
}

impl NatSettings {
    /// Reads the parameters of `nathelper`.
    pub(crate) fn new(program: &Program<Context>) -> Self {
        if !program.is_loaded("nathelper") {
            return Self::default();
        }
        let parameters = &program.parameters;
        let text = |name: &str| parameters.str("nathelper", name).unwrap_or_default();
        Self {
            received: parameters.variable("nathelper", "received_avp"),
            keep_media: !text("oldip_skip").contains(&b'c'),
            keep_origin: !text("oldip_skip").contains(&b'o'),
            marker: text("nortpproxy_str").trim_ascii_end().to_vec(),
        }
    }
}
