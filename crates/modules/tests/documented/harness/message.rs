//! Messages as text.

/// A request to feed a server with.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    uri: String,
    via: String,
    from: String,
    to: String,
    call_id: String,
    cseq: u32,
    max_forwards: Option<String>,
    headers: Vec<String>,
    body: String,
}

impl Request {
    /// `METHOD uri` with everything that a request must have, from alice to bob.
    pub fn new(start: &str) -> Self {
        let (method, uri) = start.split_once(' ').unwrap();
        Self {
            method: method.to_owned(),
            uri: uri.to_owned(),
            via: format!("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-{method}-1"),
            from: "\"Alice\" <sip:alice@example.com>;tag=from-tag".to_owned(),
            to: "<sip:bob@example.com>".to_owned(),
            call_id: "call-1@example.com".to_owned(),
            cseq: 1,
            max_forwards: Some("70".to_owned()),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// An INVITE to a phone of bob.
    pub fn invite() -> Self {
        Self::new("INVITE sip:bob@203.0.113.9:5080").header("Contact: <sip:alice@198.51.100.7:5070>")
    }

    /// A REGISTER of bob with these Contact values, each in a header of its own.
    pub fn register(contacts: &[&str]) -> Self {
        let mut request = Self::new("REGISTER sip:example.com").from("<sip:bob@example.com>;tag=from-tag");
        for contact in contacts {
            request = request.header(&format!("Contact: {contact}"));
        }
        request
    }

    pub fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    pub fn from(mut self, value: &str) -> Self {
        self.from = value.to_owned();
        self
    }

    pub fn to(mut self, value: &str) -> Self {
        self.to = value.to_owned();
        self
    }

    pub fn via(mut self, value: &str) -> Self {
        self.via = value.to_owned();
        self
    }

    pub fn call_id(mut self, value: &str) -> Self {
        self.call_id = value.to_owned();
        self
    }

    pub fn cseq(mut self, number: u32) -> Self {
        self.cseq = number;
        self
    }

    /// Another Max-Forwards, or none.
    pub fn max_forwards(mut self, value: Option<&str>) -> Self {
        self.max_forwards = value.map(str::to_owned);
        self
    }

    pub fn body(mut self, kind: &str, text: &str) -> Self {
        self.headers.push(format!("Content-Type: {kind}"));
        self.body = text.to_owned();
        self
    }

    /// The message.
    pub fn text(&self) -> String {
        let mut out = format!("{} {} SIP/2.0\r\nVia: {}\r\n", self.method, self.uri, self.via);
        if let Some(value) = &self.max_forwards {
            out.push_str(&format!("Max-Forwards: {value}\r\n"));
        }
        out.push_str(&format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {}\r\n",
            self.from, self.to, self.call_id, self.cseq, self.method
        ));
        for line in &self.headers {
            out.push_str(&format!("{line}\r\n"));
        }
        out.push_str(&format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body));
        out
    }
}

/// What a phone answers to a request that it got.
#[derive(Debug, Clone)]
pub struct Reply {
    pub text: String,
}

/// Answers a request that the server sent; `lines` are further header lines, each with its line break.
pub fn reply(request: &str, code: u16, reason: &str, lines: &str) -> Reply {
    let mut text = format!("SIP/2.0 {code} {reason}\r\n");
    for line in request.split("\r\n\r\n").next().unwrap().split("\r\n").skip(1) {
        let name = line.split(':').next().unwrap();
        match name {
            "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => text.push_str(&format!("{line}\r\n")),
            "To" if line.contains(";tag=") || code == 100 => text.push_str(&format!("{line}\r\n")),
            "To" => text.push_str(&format!("{line};tag=callee\r\n")),
            _ => {}
        }
    }
    text.push_str(lines);
    text.push_str("Content-Length: 0\r\n\r\n");
    Reply { text }
}
