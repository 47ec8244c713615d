//! The measurement of docs/performance.md, on a small scale: it has to work when it is needed.

use seawall_bench::store::{self, StoreArgs};

#[test]
fn the_measurement_of_durable_bindings_works() {
    let folder = crate::store::Folder::new();
    let parent = folder.file().with_file_name("");
    let args = StoreArgs { quick: true, ..StoreArgs::of(parent, env!("CARGO_BIN_EXE_seawall")) };
    let text = store::tables(&args).unwrap();
    let row = |start: &str| {
        let found = text.lines().find(|line| line.starts_with(start));
        let row = found.unwrap_or_else(|| panic!("no row {start} in {text}"));
        row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    for server in ["memory only", "write-through", "write-back"] {
        for users in ["fresh REGISTER", "refresh REGISTER"] {
            let cells = row(&format!("| {users} | 1000 | Seawall, {server} |"));
            assert!(cells[4].parse::<f64>().unwrap() > 0.0, "{cells:?}");
            assert_eq!(cells[cells.len() - 2], "0", "refused or lost: {cells:?}");
        }
    }
    let through = row("| refresh REGISTER | 1000 | Seawall, write-through |");
    assert!(through[12].split(", ").all(|size| size.parse::<f64>().unwrap() >= 1.0), "{through:?}");
    // Everything that was in memory only is in the table after the stop, and in memory after the start.
    let stopped = row("| Seawall, write-back | SIGTERM |");
    assert_eq!(
        [&*stopped[3], &*stopped[4], &*stopped[6], &*stopped[10]],
        ["5000", "5000", "5000 (5000)", "5000"]
    );
    let killed = row("| Seawall, write-through | SIGKILL under load |");
    assert_eq!(killed[10], "5000", "{killed:?}");
    for cells in [stopped, killed] {
        assert!(cells[7..10].iter().all(|time| time.ends_with(" s")), "{cells:?}");
    }
}
