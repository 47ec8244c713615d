//! Phones that sleep, and the scripts that wake them.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::call::invite;
use super::scripts::MODULES;
use super::web::{Asked, Web};
use super::{Message, Phone, Request, Server, unique};

/// What a script needs for phones that sleep, without a way to wake them.
pub fn base(parameters: &str) -> String {
    let modules = MODULES.replace(
        "loadmodule \"registrar.so\"",
        "loadmodule \"event_routing.so\"\nloadmodule \"registrar.so\"",
    );
    format!(
        "{modules}loadmodule \"push.so\"\nmodparam(\"registrar\", \"pn_enable\", 1)\n\
         modparam(\"registrar\", \"pn_providers\", \"apns, fcm, webpush, acme\")\n{parameters}\n"
    )
}

/// The same with a gateway of the test's own.
pub fn modules(web: &Web, parameters: &str) -> String {
    base(&format!("modparam(\"push\", \"http_url\", \"{}/wake\")\n{parameters}", web.url()))
}

/// The same for a mid-registrar in front of a main registrar, with [`ROUTING`].
pub fn front(modules: &str, main: SocketAddr, mode: u8) -> String {
    let modules = modules.replace("modparam(\"registrar\", \"pn_", "modparam(\"mid_registrar\", \"pn_").replace(
        "loadmodule \"push.so\"",
        &format!(
            "loadmodule \"mid_registrar.so\"\nmodparam(\"mid_registrar\", \"mode\", {mode})\nloadmodule \"push.so\""
        ),
    );
    let save =
        format!("if (mid_registrar_save(\"location\") == 1) {{ $ru = \"sip:{main}\"; t_relay(); }} exit;");
    let routing = ROUTING
        .replace("save(\"location\"); exit;", &save)
        .replace("lookup(\"location\");", "mid_registrar_lookup(\"location\");");
    format!("{modules}{routing}")
}

/// Calls wait for phones that sleep, and so do requests inside dialogs.
pub const ROUTING: &str = r#"
route {
	if (has_totag()) {
		if (is_method("ACK") && t_check_trans()) { t_relay(); exit; }
		if (!loose_route()) { if (!is_method("ACK")) send_reply(404, "Not Here"); exit; }
		if (!is_method("ACK"))
			async(pn_process_purr("location"), resume);
		t_relay();
		exit;
	}
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	t_check_trans();
	if (is_method("REGISTER")) { save("location"); exit; }
	record_route();
	lookup("location");
	switch ($rc) {
		case 1: t_relay(); break;
		case 2: xlog("waking $ru\n"); break;
		default: t_reply(404, "Not Found");
	}
}
route[resume] {
	xlog("awake $rc\n");
	t_relay();
}
event_route[E_UL_CONTACT_REFRESH] {
	xlog("refresh $param(domain) $param(aor) $param(reason) $(param(uri){uri.param,pn-prid})\n");
}
"#;

/// A phone that sleeps: without a socket, it knows only its parameters.
pub struct Sleeper {
    pub user: String,
    /// What its contact has for pushes: `pn-provider=…;…`.
    pub params: String,
    call_id: String,
    cseq: u32,
}

impl Sleeper {
    /// A phone that has not registered yet.
    pub fn fresh(user: &str, params: &str) -> Sleeper {
        Sleeper { user: user.to_owned(), params: params.to_owned(), call_id: unique(), cseq: 0 }
    }

    /// Registers from a socket of its own and falls asleep. Gives the 200 too.
    pub fn new(server: &Server, user: &str) -> (Sleeper, Message) {
        Sleeper::with(server, user, "acme")
    }

    /// As [`Sleeper::new`], with another provider.
    pub fn with(server: &Server, user: &str, provider: &str) -> (Sleeper, Message) {
        Sleeper::told(server, user, &format!("pn-provider={provider};pn-param=app;pn-prid=token-{user}"))
    }

    /// As [`Sleeper::new`], with these parameters.
    pub fn told(server: &Server, user: &str, params: &str) -> (Sleeper, Message) {
        let mut sleeper = Sleeper::fresh(user, params);
        let (_, answer) = sleeper.wake(server);
        (sleeper, answer)
    }

    /// Opens a socket at a new address and registers from there.
    pub fn wake(&mut self, server: &Server) -> (Phone, Message) {
        let mut phone = Phone::udp(server, &self.user);
        let request = self.register(&phone);
        let answer = phone.ask(&request);
        assert_eq!(answer.status(), 200, "{}", answer.start);
        (phone, answer)
    }

    /// Its next REGISTER, for an hour.
    pub fn register(&mut self, phone: &Phone) -> Request {
        self.cseq += 1;
        let contact = self.contact(phone);
        let mut request = phone.register_request().with(format!("Contact: <{contact}>;expires=3600"));
        (request.call_id, request.cseq) = (self.call_id.clone(), self.cseq);
        request
    }

    /// Its contact while it has a socket.
    pub fn contact(&self, phone: &Phone) -> String {
        format!("{};{}", phone.contact(), self.params)
    }

    /// The push that it gets through a gateway.
    #[track_caller]
    pub fn pushed(&self, web: &Web, reason: &str) -> Asked {
        let asked = web.asked();
        let body: Value = serde_json::from_str(asked.body()).unwrap();
        let token = format!("token-{}", self.user);
        assert_eq!((&body["prid"], &body["reason"]), (&json!(token), &json!(reason)));
        asked
    }
}

/// Calls a user, and waits until the server has said that it is at it.
pub fn call(caller: &mut Phone, user: &str) -> Request {
    let call = invite(caller, &format!("sip:{user}@127.0.0.1"));
    caller.send(&call.bytes());
    assert_eq!(caller.answer_to(&call).status(), 100);
    call
}

/// The CANCEL of a call.
pub fn cancel(call: &Request) -> Request {
    Request { method: "CANCEL".to_owned(), headers: Vec::new(), body: String::new(), ..call.clone() }
}

/// Takes a call that a phone has received, and gives the 200 to the caller.
pub fn answer(caller: &mut Phone, call: &Request, callee: &mut Phone) -> Message {
    let contact = callee.contact();
    answer_as(caller, call, callee, &contact).1
}

/// The same with a contact of its own; gives the INVITE as it was received too.
pub fn answer_as(
    caller: &mut Phone,
    call: &Request,
    callee: &mut Phone,
    contact: &str,
) -> (Message, Message) {
    let received = callee.expect_request("INVITE");
    callee.send(&received.reply(200, "OK", "callee", &format!("Contact: <{contact}>\r\n"), ""));
    (received, final_answer(caller, call, 200))
}

/// The final answer to a request, which has to have this status.
#[track_caller]
pub fn final_answer(caller: &mut Phone, request: &Request, status: u16) -> Message {
    loop {
        let answer = caller.answer_to(request);
        if answer.status() >= 200 {
            assert_eq!(answer.status(), status, "{}", answer.start);
            return answer;
        }
    }
}
