//! `ul_dump`, `ul_show_contact`, `ul_rm`, `ul_rm_contact`, `ul_add`, `ul_flush` (usrloc, Exported MI Functions).

use std::io::Write;
use std::sync::Arc;

use crate::command::{ChunkSource, Command, MiParameter, ParameterKind, Params, Reply};
use crate::error::MiError;
use crate::limits;
use crate::record_json::{self, RecordWriter};
use crate::server::{Domain, NewContact, Server};

const TABLE: MiParameter = MiParameter::new(
    "table_name",
    ParameterKind::Str,
    "The location table, as `save()` names it: `location`.",
);
const AOR: MiParameter = MiParameter::new(
    "aor",
    ParameterKind::Str,
    "The address-of-record: `user@domain`, or `user` when `use_domain` is off.",
);
const CONTACT: MiParameter = MiParameter::new("contact", ParameterKind::Str, "The contact URI.");
const EXPIRES: MiParameter =
    MiParameter::new("expires", ParameterKind::Int, "Life in seconds; 0 makes the contact permanent.");
const Q: MiParameter = MiParameter::new("q", ParameterKind::Str, "The priority, 0 to 1; empty for none.");
const UNUSED: MiParameter = MiParameter::new("unused", ParameterKind::Str, "Ignored; older tools send it.");
const FLAGS: MiParameter = MiParameter::new("flags", ParameterKind::Int, "Internal flags of the contact.");
const CFLAGS: MiParameter =
    MiParameter::new("cflags", ParameterKind::Str, "Branch flags: a number, or names separated by spaces.");
const METHODS: MiParameter =
    MiParameter::new("methods", ParameterKind::Int, "Bit mask of the methods it takes; 32767 for all.");

/// The commands of this file.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "ul_dump",
        aliases: &["usrloc:ul_dump", "usrloc:dump"],
        recipes: &[&[MiParameter::optional(
            "brief",
            ParameterKind::Str,
            "`brief` (or 1) shows only addresses-of-record and contact URIs.",
        )]],
        doc: "All bindings of all tables. The reply is streamed; it is not one snapshot, each part is shown as it \
              is when its turn comes.",
        section: "usrloc: ul_dump",
        run: dump,
    },
    Command {
        name: "ul_show_contact",
        aliases: &["usrloc:ul_show_contact", "usrloc:show_contact"],
        recipes: &[&[TABLE, AOR]],
        doc: "The bindings of one address-of-record.",
        section: "usrloc: ul_show_contact",
        run: show_contact,
    },
    Command {
        name: "ul_rm",
        aliases: &["usrloc:ul_rm", "usrloc:rm"],
        recipes: &[&[TABLE, AOR]],
        doc: "Removes an address-of-record with all its bindings.",
        section: "usrloc: ul_rm",
        run: remove,
    },
    Command {
        name: "ul_rm_contact",
        aliases: &["usrloc:ul_rm_contact", "usrloc:rm_contact"],
        recipes: &[&[TABLE, AOR, CONTACT]],
        doc: "Removes one binding of an address-of-record.",
        section: "usrloc: ul_rm_contact",
        run: remove_contact,
    },
    Command {
        name: "ul_add",
        aliases: &["usrloc:ul_add", "usrloc:add"],
        recipes: &[
            &[TABLE, AOR, CONTACT, EXPIRES, Q, UNUSED, FLAGS, CFLAGS, METHODS],
            &[TABLE, AOR, CONTACT, EXPIRES, Q, FLAGS, CFLAGS, METHODS],
        ],
        doc: "Adds a binding to an address-of-record, or updates the one with this contact.",
        section: "usrloc: ul_add",
        run: add,
    },
    Command {
        name: "ul_flush",
        aliases: &["usrloc:ul_flush", "usrloc:flush"],
        recipes: &[&[]],
        doc: "Answers when all changes so far are in the database, and other programs see them there.",
        section: "usrloc: ul_flush",
        run: flush,
    },
];

fn dump(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let brief = params.str("brief").is_some_and(|text| !matches!(text, "" | "0" | "no" | "false"));
    Ok(Reply::Stream(Box::new(Dump::new(Arc::clone(server), brief))))
}

fn show_contact(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let mut writer = RecordWriter::new(false);
    server.show_aor(argument(params, "table_name")?, argument(params, "aor")?.as_bytes(), &mut writer)?;
    writer.close();
    if writer.out.is_empty() {
        return Err(MiError::new(404, "AOR not found"));
    }
    Ok(Reply::Json(writer.out))
}

fn remove(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    server.remove_aor(argument(params, "table_name")?, argument(params, "aor")?.as_bytes())?;
    Ok(Reply::ok())
}

fn remove_contact(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let (table, aor) = (argument(params, "table_name")?, argument(params, "aor")?);
    server.remove_contact(table, aor.as_bytes(), argument(params, "contact")?.as_bytes())?;
    Ok(Reply::ok())
}

fn add(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let contact = NewContact {
        contact: argument(params, "contact")?.as_bytes(),
        expires_s: unsigned(params, "expires")?,
        q_per_mille: priority(params.str("q").unwrap_or(""))?,
        flags: unsigned(params, "flags")?,
        cflags: params.str("cflags").unwrap_or(""),
        methods: unsigned(params, "methods")?,
    };
    printable("cflags", contact.cflags)?;
    server.add_contact(argument(params, "table_name")?, argument(params, "aor")?.as_bytes(), &contact)?;
    Ok(Reply::ok())
}

fn flush(server: &Arc<dyn Server>, _: &Params) -> Result<Reply, MiError> {
    server.flush()?;
    Ok(Reply::ok())
}

/// A text that must not be empty and cannot break out of a header, a log line or a table.
fn argument<'a>(params: &'a Params, name: &'static str) -> Result<&'a str, MiError> {
    let text = params.str(name).unwrap_or("");
    if text.is_empty() {
        return Err(MiError::invalid_params(format!("parameter `{name}` is empty")));
    }
    printable(name, text)
}

fn printable<'a>(name: &'static str, text: &'a str) -> Result<&'a str, MiError> {
    if text.len() > limits::ARGUMENT_BYTES {
        return Err(MiError::invalid_params(format!("parameter `{name}` is too long")));
    }
    if text.chars().any(char::is_control) {
        return Err(MiError::invalid_params(format!("parameter `{name}` has a control character")));
    }
    Ok(text)
}

fn unsigned(params: &Params, name: &'static str) -> Result<u32, MiError> {
    u32::try_from(params.int(name).unwrap_or(0))
        .map_err(|_| MiError::invalid_params(format!("parameter `{name}` must be from 0 to 4294967295")))
}

/// `qvalue` of RFC 3261 section 25.1: 0 to 1 with at most three decimals. Empty and -1 mean none.
fn priority(text: &str) -> Result<Option<u16>, MiError> {
    let wrong = || MiError::invalid_params("parameter `q` must be from 0 to 1, with three decimals at most");
    if matches!(text, "" | "-1") {
        return Ok(None);
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let thousandths: u16 = format!("{decimals:0<3}").parse().map_err(|_| wrong())?;
    match (whole, thousandths) {
        ("0" | "", _) => Ok(Some(thousandths)),
        ("1", 0) => Ok(Some(1000)),
        _ => Err(wrong()),
    }
}

/// `ul_dump`, one part of one table at a time.
struct Dump {
    server: Arc<dyn Server>,
    domains: std::vec::IntoIter<Domain>,
    current: Option<(Domain, usize)>,
    writer: RecordWriter,
    tables: u64,
}

impl Dump {
    fn new(server: Arc<dyn Server>, brief: bool) -> Self {
        let domains = server.domains().into_iter();
        let mut writer = RecordWriter::new(brief);
        writer.out.extend_from_slice(b"{\"Domains\":[");
        Dump { server, domains, current: None, writer, tables: 0 }
    }

    fn begin(&mut self, domain: Domain) {
        let out = &mut self.writer.out;
        if self.tables > 0 {
            out.push(b',');
        }
        self.tables += 1;
        out.extend_from_slice(b"{\"name\":");
        record_json::string(out, domain.name.as_bytes());
        // Writing to a Vec cannot fail.
        let _ = write!(out, ",\"hash_size\":{},\"AORs\":[", domain.hash_size);
        self.current = Some((domain, 0));
    }
}

impl ChunkSource for Dump {
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> bool {
        let more = match self.current.take() {
            Some((domain, part)) if part < domain.parts => {
                self.server.dump_part(&domain.name, part, &mut self.writer);
                self.current = Some((domain, part + 1));
                true
            }
            Some(_) => {
                self.writer.restart();
                self.writer.out.extend_from_slice(b"]}");
                true
            }
            None => match self.domains.next() {
                Some(domain) => {
                    self.begin(domain);
                    true
                }
                None => {
                    self.writer.out.extend_from_slice(b"]}");
                    false
                }
            },
        };
        out.append(&mut self.writer.out);
        more
    }
}
