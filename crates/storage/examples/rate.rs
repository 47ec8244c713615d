//! How fast bindings become durable: random refreshes of a full table, in groups, each group on disk before the next.
//!
//! `cargo run --release -p seawall-storage --example rate [FOLDER [ROWS [SECONDS]]]`
//!
//! Every line says for one size of group: rows a second, the time of a group (median and 99th percentile), what one
//! row costs of CPU in all threads of the process, and what was written for it. The last lines do the same through
//! sqlx, one statement after the other, for comparison.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use seawall_storage::location::{Columns, LocationTable, Row, RowChange};
use seawall_storage::{DatabaseUrl, Identifier, Options, Storage};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rows: u64 = arguments.next().map_or(100_000, |text| text.parse().unwrap());
    let seconds: u64 = arguments.next().map_or(5, |text| text.parse().unwrap());
    let path = folder.join(format!("seawall-rate-{}.db", std::process::id()));
    let table = fill(&path, rows).await;
    for group in [1, 10, 100, 300, 1000] {
        let mut random = Random(group as u64);
        let mut changes = Vec::new();
        let mut measured = Measured::begin();
        while measured.began.elapsed() < Duration::from_secs(seconds) {
            changes.clear();
            changes.extend((0..group).map(|_| RowChange::Upsert(Box::new(random.refresh(rows)))));
            let began = Instant::now();
            changes = table.apply(changes).await.unwrap();
            measured.group(began.elapsed(), group);
        }
        measured.print(&format!("groups of {group}"));
    }
    through_sqlx(&path, rows, seconds).await;
    drop(table);
    for end in ["", "-wal", "-shm", ".lock", ".location.journal-a", ".location.journal-b"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
}

async fn fill(path: &Path, rows: u64) -> LocationTable {
    let url = DatabaseUrl::parse(&format!("sqlite://{}", path.display())).unwrap();
    let database = Storage::default().database(&url, &Options::default());
    let table = LocationTable::new(database, &Identifier::new("location").unwrap(), &Columns::default());
    table.prepare().await.unwrap();
    let began = Instant::now();
    let mut random = Random(1);
    for from in (0..rows).step_by(10_000) {
        let ids = from..rows.min(from + 10_000);
        let changes = ids.map(|id| RowChange::Upsert(Box::new(random.row(id)))).collect();
        table.apply(changes).await.unwrap();
    }
    let megabytes = std::fs::metadata(path).unwrap().len() / 1_000_000;
    println!("{rows} rows filled in within {:.1} s; {megabytes} MB", began.elapsed().as_secs_f64());
    table
}

/// The same with sqlx, in its own table of the same shape.
async fn through_sqlx(path: &Path, rows: u64, seconds: u64) {
    let options = SqliteConnectOptions::new().filename(path).synchronous(SqliteSynchronous::Full);
    let mut connection =
        SqliteConnection::connect_with(&options.busy_timeout(Duration::from_secs(5))).await.unwrap();
    let sql = "INSERT INTO location (contact_id, username, domain, contact, received, expires, q, callid, cseq, \
        last_modified, flags, cflags, user_agent, socket, methods, sip_instance) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, \
        '2026-01-01 00:00:00', ?, ?, ?, ?, ?, ?) ON CONFLICT (contact_id) DO UPDATE SET expires = excluded.expires, \
        callid = excluded.callid, cseq = excluded.cseq, contact = excluded.contact, received = excluded.received, \
        user_agent = excluded.user_agent";
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for group in [100, 1000] {
        let mut random = Random(group as u64);
        let mut measured = Measured::begin();
        while measured.began.elapsed() < Duration::from_secs(seconds) {
            let changes: Vec<Row> = (0..group).map(|_| random.refresh(rows)).collect();
            let began = Instant::now();
            let mut transaction = connection.begin().await.unwrap();
            for row in changes {
                let query = sqlx::query(sql).bind(row.contact_id.cast_signed()).bind(text(&row.username));
                let query = query.bind(text(&row.domain)).bind(text(&row.contact)).bind(text(&row.received));
                let query = query
                    .bind(row.expires)
                    .bind(row.q)
                    .bind(text(&row.callid))
                    .bind(row.cseq)
                    .bind(row.flags);
                let query = query.bind(text(&row.cflags)).bind(text(&row.user_agent)).bind(text(&row.socket));
                let query = query.bind(row.methods).bind(text(&row.sip_instance));
                query.execute(&mut *transaction).await.unwrap();
            }
            transaction.commit().await.unwrap();
            measured.group(began.elapsed(), group);
        }
        measured.print(&format!("sqlx, groups of {group}"));
    }
}

/// What one round came to.
struct Measured {
    began: Instant,
    cpu_ms: u64,
    written: u64,
    rows: u64,
    times: Vec<Duration>,
}

impl Measured {
    fn begin() -> Self {
        Measured { began: Instant::now(), cpu_ms: cpu_ms(), written: written(), rows: 0, times: Vec::new() }
    }

    fn group(&mut self, took: Duration, rows: usize) {
        self.rows += rows as u64;
        self.times.push(took);
    }

    #[allow(clippy::cast_precision_loss)]
    fn print(mut self, what: &str) {
        let elapsed_s = self.began.elapsed().as_secs_f64();
        self.times.sort();
        let at = |percent: usize| self.times[(self.times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        let rows = self.rows as f64;
        println!(
            "{what}: {:.0} rows/s, {:.0} groups/s of {:.1} ms (p99 {:.1} ms, longest {:.1} ms), {:.1} us CPU and {:.0} \
             bytes written a row",
            rows / elapsed_s,
            self.times.len() as f64 / elapsed_s,
            at(50),
            at(99),
            at(100),
            (cpu_ms() - self.cpu_ms) as f64 * 1e3 / rows,
            (written() - self.written) as f64 / rows,
        );
    }
}

/// CPU time of all threads of this process.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * 10
}

/// Bytes that this process gave to the disk.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// Numbers that look random and are the same each time (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The row of a user, as a usual phone would have it. Keys are scattered as ours are.
    fn row(&mut self, user: u64) -> Row {
        Row {
            contact_id: Random(user).next() >> 1,
            username: format!("user{user:07}").into(),
            domain: b"registrar.example.com".to_vec(),
            contact: format!(
                "sip:user{user:07}@10.20.{}.{}:5060;transport=udp;line=8d7f3a",
                user >> 8 & 255,
                user & 255
            )
            .into(),
            received: b"sip:198.51.100.17:31044".to_vec(),
            expires: 1_800_000_000,
            q: -1.0,
            callid: format!("{:016x}@10.20.30.40", Random(user + 1).next()).into(),
            cseq: u32::try_from(self.next() >> 40).unwrap(),
            last_modified: 1_790_000_000,
            cflags: b"NAT".to_vec(),
            user_agent: b"Example Phone T46S 66.85.0.5 0123456789ab".to_vec(),
            socket: b"udp:192.0.2.10:5060".to_vec(),
            methods: Some(8191),
            sip_instance: format!("<urn:uuid:00000000-0000-1000-8000-{user:012x}>").into(),
            ..Row::default()
        }
    }

    fn refresh(&mut self, rows: u64) -> Row {
        let user = self.next() % rows;
        Row { expires: 1_800_003_600, last_modified: 1_790_003_600, ..self.row(user) }
    }
}
