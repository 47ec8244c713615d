//! A whole call between two phones.

use super::{Message, Phone, Request, unique};

/// A description of media that nobody will send.
const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// A call that has been answered, as the caller knows it.
pub struct Call {
    pub invite: Request,
    /// The 200 as the caller received it.
    pub answer: Message,
    /// The INVITE as the callee received it.
    pub received: Message,
    callee_tag: String,
}

/// An INVITE of `caller` to an address of record.
pub fn invite(caller: &Phone, to: &str) -> Request {
    let mut invite = caller.request("INVITE", to);
    invite.headers.push(format!("Contact: <{}>", caller.contact()));
    invite.headers.push("Content-Type: application/sdp".to_owned());
    invite.body = SDP.to_owned();
    invite
}

/// Calls, rings, is answered and acknowledged.
pub fn establish(caller: &mut Phone, callee: &mut Phone) -> Call {
    let invite = invite(caller, &callee.aor());
    establish_with(caller, callee, invite)
}

/// Calls with this INVITE, rings, is answered and acknowledged.
pub fn establish_with(caller: &mut Phone, callee: &mut Phone, invite: Request) -> Call {
    caller.send(&invite.bytes());
    let trying = caller.answer_to(&invite);
    assert_eq!(trying.status(), 100);
    let received = callee.expect_request("INVITE");
    assert_eq!(received.body, SDP.as_bytes());

    let callee_tag = format!("t{}", unique());
    callee.send(&received.reply(180, "Ringing", &callee_tag, "", ""));
    assert_eq!(caller.answer_to(&invite).status(), 180);
    let contact = format!("Contact: <{}>\r\nContent-Type: application/sdp\r\n", callee.contact());
    callee.send(&received.reply(200, "OK", &callee_tag, &contact, SDP));
    let answer = caller.answer_to(&invite);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body, SDP.as_bytes());

    let call = Call { invite, answer, received, callee_tag };
    caller.send(&call.within(caller, "ACK").bytes());
    callee.expect_request("ACK");
    call
}

/// A call from ringing to its end, hung up by the caller.
pub fn talk(caller: &mut Phone, callee: &mut Phone) {
    let call = establish(caller, callee);
    call.hang_up(caller, callee);
}

impl Call {
    /// A call that was answered by other means than [`establish`].
    pub fn new(invite: Request, answer: Message, received: Message, callee_tag: &str) -> Call {
        Call { invite, answer, received, callee_tag: callee_tag.to_owned() }
    }

    /// A request of the caller inside this call, along the recorded route (RFC 3261 §12.2.1.1).
    pub fn within(&self, caller: &Phone, method: &str) -> Request {
        let target = self.answer.addresses("Contact").remove(0);
        let mut request = caller.request(method, &target);
        request.from = self.invite.from.clone();
        request.to = self.answer.need("To").to_owned();
        request.call_id = self.invite.call_id.clone();
        request.cseq = self.invite.cseq + u32::from(method != "ACK");
        let routes = self.answer.addresses("Record-Route");
        request.headers.extend(routes.iter().rev().map(|route| format!("Route: <{route}>")));
        request
    }

    /// A request of the callee inside this call.
    pub fn within_from_callee(&self, callee: &Phone, method: &str) -> Request {
        let target = self.received.addresses("Contact").remove(0);
        let mut request = callee.request(method, &target);
        request.from = format!("{};tag={}", self.received.need("To"), self.callee_tag);
        request.to = self.received.need("From").to_owned();
        request.call_id = self.invite.call_id.clone();
        let routes = self.received.addresses("Record-Route");
        request.headers.extend(routes.iter().map(|route| format!("Route: <{route}>")));
        request
    }

    /// The caller hangs up.
    pub fn hang_up(&self, caller: &mut Phone, callee: &mut Phone) {
        let bye = self.within(caller, "BYE");
        caller.send(&bye.bytes());
        let received = callee.expect_request("BYE");
        callee.send(&received.reply(200, "OK", "", "", ""));
        assert_eq!(caller.answer_to(&bye).status(), 200);
    }

    /// The callee hangs up.
    pub fn hang_up_by_callee(&self, caller: &mut Phone, callee: &mut Phone) {
        let bye = self.within_from_callee(callee, "BYE");
        callee.send(&bye.bytes());
        let received = caller.expect_request("BYE");
        caller.send(&received.reply(200, "OK", "", "", ""));
        assert_eq!(callee.answer_to(&bye).status(), 200);
    }
}
