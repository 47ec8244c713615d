//! How a contact looks to the main registrar.

use super::{PHONE, found, front, register, registered, sent, uri_of, with_script, without_id};

#[test]
fn contact_id_insertion_and_contact_id_param_say_where_the_id_stands() {
    for value in ["\"ct-param\"", "0"] {
        let parameters = format!("\"mode\", 1\n\"contact_id_insertion\", {value}");
        assert_eq!(sent(&parameters, "", PHONE), "<sip:bob@192.0.2.1:5060;ctid=N>;expires=3600");
    }
    for value in ["\"ct-username\"", "1"] {
        let parameters = format!("\"mode\", 1\n\"contact_id_insertion\", {value}");
        assert_eq!(sent(&parameters, "", PHONE), "<sip:N@192.0.2.1:5060>;expires=3600");
        let mut server = front(&parameters, "");
        let (sent, _) = registered(&mut server, &register(1, PHONE));
        assert_eq!(found(&mut server, &uri_of(&sent)), "1 sip:bob@198.51.100.7:5070");
    }
    let parameters = "\"mode\", 1\n\"contact_id_param\", \"cid\"";
    assert_eq!(sent(parameters, "", PHONE), "<sip:bob@192.0.2.1:5060;cid=N>;expires=3600");
    let mut server = front(parameters, "");
    let (sent, _) = registered(&mut server, &register(1, PHONE));
    assert_eq!(found(&mut server, &uri_of(&sent)), "1 sip:bob@198.51.100.7:5070");
    assert_eq!(
        found(&mut server, &uri_of(&sent).replace("cid", "ctid")),
        "-1 sip:bob@192.0.2.1:5060;ctid=".to_owned() + uri_of(&sent).split('=').nth(1).unwrap()
    );
}

#[test]
fn at_escape_str_stands_for_the_at_sign() {
    let parameters = "\"mode\", 2\n\"at_escape_str\", \"___\"";
    assert_eq!(sent(parameters, "", PHONE), "<sip:bob___example.com@192.0.2.1:5060>;expires=3600");
    let mut server = front(parameters, "");
    registered(&mut server, &register(1, PHONE));
    assert_eq!(found(&mut server, "sip:bob___example.com@192.0.2.1:5060"), "1 sip:bob@198.51.100.7:5070");
}

#[test]
fn outgoing_expires_is_the_least_that_is_asked_for() {
    let own = |expires: &str| format!("<sip:bob@192.0.2.1:5060;ctid=N>;expires={expires}");
    assert_eq!(sent("\"mode\", 1\n\"outgoing_expires\", 900", "", PHONE), own("900"));
    assert_eq!(sent("\"mode\", 1\n\"outgoing_expires\", 30", "", PHONE), own("60"));
    assert_eq!(sent("\"mode\", 1\n\"outgoing_expires\", 900", ", , , 1200", PHONE), own("1200"));
    assert_eq!(sent("\"mode\", 0\n\"outgoing_expires\", 900", ", , , 1200", PHONE), own("60"));
}

#[test]
fn extra_contact_params_avp_is_added_to_every_contact() {
    let with = |value: &str, mode: u8| {
        let script = format!(
            "$avp(extra) = \"{value}\"; mid_registrar_save(\"location\"); $ru = \"sip:203.0.113.3:5070\"; t_relay();"
        );
        let parameters = format!("\"mode\", {mode}\n\"extra_contact_params_avp\", \"$avp(extra)\"");
        let run = with_script(&parameters, &script, "").receive(&register(1, PHONE));
        without_id(&run.request("REGISTER").header("Contact"))
    };
    assert_eq!(with(";transport=tls", 1), "<sip:bob@192.0.2.1:5060;ctid=N;transport=tls>;expires=3600");
    assert_eq!(with(";x=y", 2), "<sip:bob%40example.com@192.0.2.1:5060;x=y>;expires=3600");
    assert_eq!(with(">;x", 1), "<sip:bob@192.0.2.1:5060;ctid=N>;expires=3600");
}
