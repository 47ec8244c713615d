//! SIP messages as the tests write and read them: plain text handling that shares no code with the server.

use super::unique;
use std::fmt::Write;

/// A received message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Every byte as it came.
    pub bytes: Vec<u8>,
    /// The first line.
    pub start: String,
    /// Names as they came, values unfolded and trimmed.
    pub headers: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: Vec<u8>,
}

impl Message {
    /// Splits a message into lines; anything that is not one fails the test.
    pub fn parse(bytes: &[u8]) -> Message {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no empty line in {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8_lossy(&bytes[..end]).replace("\r\n ", " ").replace("\r\n\t", " ");
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no colon in {line:?}"));
            (name.trim().to_owned(), value.trim().to_owned())
        };
        Message {
            bytes: bytes.to_vec(),
            start,
            headers: lines.map(field).collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        let code = self.start.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
        code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("not a response: {}", self.start))
    }

    /// Whether it is a response.
    pub fn is_response(&self) -> bool {
        self.start.starts_with("SIP/2.0 ")
    }

    /// The method of a request.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap()
    }

    /// The Request-URI of a request.
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap()
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The value of a header that must be there.
    pub fn need(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The values of all headers of this name, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let compact = match name {
            "Via" => "v",
            "From" => "f",
            "To" => "t",
            "Call-ID" => "i",
            "Contact" => "m",
            "Content-Length" => "l",
            "Supported" => "k",
            _ => name,
        };
        let same = |there: &str| there.eq_ignore_ascii_case(name) || there.eq_ignore_ascii_case(compact);
        self.headers.iter().filter(|(there, _)| same(there)).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a parameter such as `tag` or `branch` behind the first value of a header.
    pub fn parameter(&self, header: &str, name: &str) -> Option<String> {
        let wanted = format!("{name}=");
        let value = self.header(header)?;
        let outside = value.rsplit_once('>').map_or(value, |(_, outside)| outside);
        let found = outside.split(';').find_map(|part| part.trim().strip_prefix(&wanted))?;
        Some(found.split([',', ' ']).next().unwrap().to_owned())
    }

    /// The contacts of a response, as they stand between commas outside of brackets and quotes.
    pub fn contacts(&self) -> Vec<String> {
        self.all("Contact").iter().flat_map(|value| split_list(value)).collect()
    }

    /// The addresses of a header that lists them (Record-Route, Route, Contact): what stands in `<…>`.
    pub fn addresses(&self, header: &str) -> Vec<String> {
        let inside = |item: &String| {
            let after = item.split_once('<').map_or(item.as_str(), |(_, after)| after);
            after.split('>').next().unwrap().to_owned()
        };
        self.all(header).iter().flat_map(|value| split_list(value)).map(|item| inside(&item)).collect()
    }

    /// A response to this request, with the headers that RFC 3261 §8.2.6.2 wants copied.
    pub fn reply(&self, status: u16, reason: &str, to_tag: &str, more: &str, body: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status} {reason}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in self.all(name) {
                let tagged = name == "To" && status > 100 && !value.contains(";tag=");
                let tag = if tagged { format!(";tag={to_tag}") } else { String::new() };
                write!(text, "{name}: {value}{tag}\r\n").unwrap();
            }
        }
        write!(text, "{more}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        text.into_bytes()
    }
}

fn split_list(value: &str) -> Vec<String> {
    let (mut items, mut item) = (Vec::new(), String::new());
    let (mut quoted, mut bracket) = (false, false);
    for letter in value.chars() {
        match letter {
            '"' => quoted = !quoted,
            '<' if !quoted => bracket = true,
            '>' if !quoted => bracket = false,
            ',' if !quoted && !bracket => {
                items.push(std::mem::take(&mut item).trim().to_owned());
                continue;
            }
            _ => {}
        }
        item.push(letter);
    }
    items.push(item.trim().to_owned());
    items
}

/// A request that a test is about to send. Every field may be changed before it is.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub uri: String,
    /// `UDP` or `TCP`, as in Via.
    pub transport: &'static str,
    /// Host and port in Via.
    pub sent_by: String,
    pub branch: String,
    /// With its tag.
    pub from: String,
    /// With its tag when inside a dialog.
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    pub max_forwards: u32,
    /// Further header lines, each without its line end.
    pub headers: Vec<String>,
    pub body: String,
}

impl Request {
    /// A request outside of a dialog, from and to the given addresses.
    pub fn new(
        method: &str,
        uri: &str,
        from: &str,
        to: &str,
        transport: &'static str,
        sent_by: &str,
    ) -> Request {
        Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
            transport,
            sent_by: sent_by.to_owned(),
            branch: format!("z9hG4bK{}", unique()),
            from: format!("<{from}>;tag=f{}", unique()),
            to: format!("<{to}>"),
            call_id: format!("{}@test", unique()),
            cseq: 1,
            max_forwards: 70,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// Adds a header line.
    pub fn with(mut self, line: impl Into<String>) -> Request {
        self.headers.push(line.into());
        self
    }

    /// The same request once more: a higher CSeq, a new branch.
    pub fn next(&self) -> Request {
        Request { cseq: self.cseq + 1, branch: format!("z9hG4bK{}", unique()), ..self.clone() }
    }

    /// What goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let Request {
            method, uri, transport, sent_by, branch, from, to, call_id, cseq, max_forwards, ..
        } = self;
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {sent_by};branch={branch};rport\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Max-Forwards: {max_forwards}\r\n"
        );
        for line in &self.headers {
            write!(text, "{line}\r\n").unwrap();
        }
        write!(text, "Content-Length: {}\r\n\r\n{}", self.body.len(), self.body).unwrap();
        text.into_bytes()
    }
}
