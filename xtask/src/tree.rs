//! The files of the project as tidy sees them: Rust sources with comments and literals blanked out, and which of
//! their lines are test code.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file: its path below the root and its text.
pub struct File {
    /// Path below the root, with `/`.
    pub path: String,
    /// The text; empty when the file is not UTF-8 (message corpora are not).
    pub text: String,
}

/// A Rust source.
pub struct Source {
    /// Path below the root, with `/`.
    pub path: String,
    /// The text as it is.
    pub text: String,
    /// The same text with comments and the inside of literals replaced by spaces: byte for byte as long.
    pub code: String,
    /// For each line whether it is test code.
    pub test: Vec<bool>,
}

/// All files below the root that belong to the project, sorted.
pub fn files(root: &Path) -> Result<Vec<File>, String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            if path.is_dir() {
                if !is_foreign(root, &path) {
                    folders.push(path);
                }
            } else if let Ok(below) = path.strip_prefix(root) {
                let text = fs::read_to_string(&path).unwrap_or_default();
                found.push(File { path: below.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Folders that hold no sources of the project: version control, build output, what fuzzing leaves behind.
fn is_foreign(root: &Path, path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let in_fuzz = path.parent() == Some(&root.join("fuzz"));
    name == ".git" || name == "target" || (in_fuzz && (name == "corpus" || name == "artifacts"))
}

/// The Rust sources among the files, with test code marked.
pub fn sources(files: &[File]) -> Vec<Source> {
    let mut sources: Vec<Source> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .map(|file| {
            let code = blank(&file.text);
            let test = vec![is_test_path(&file.path); file.text.lines().count()];
            Source { path: file.path.clone(), text: file.text.clone(), code, test }
        })
        .collect();
    let mut test_files = HashSet::new();
    for source in &mut sources {
        mark_test_items(source, &mut test_files);
    }
    for source in &mut sources {
        let module = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        if test_files
            .iter()
            .any(|prefix: &String| module == prefix || module.starts_with(&format!("{prefix}/")))
        {
            source.test.fill(true);
        }
    }
    sources
}

fn is_test_path(path: &str) -> bool {
    let folders = ["/tests/", "/benches/", "/examples/"];
    folders.iter().any(|folder| path.contains(folder)) || path.starts_with("crates/testkit/")
}

/// Marks every item under `#[cfg(test)]`; a module declared so in a file of its own is noted in `test_files` by
/// its path without the extension.
fn mark_test_items(source: &mut Source, test_files: &mut HashSet<String>) {
    let mut from = 0;
    while let Some(at) =
        source.code.get(from..).and_then(|rest| rest.find("#[cfg(test)]")).map(|found| found + from)
    {
        let after = at + "#[cfg(test)]".len();
        from = after;
        let Some(rest) = source.code.get(after..) else { return };
        let Some(length) = rest.find(['{', ';']) else { return };
        let end = if rest.as_bytes().get(length) == Some(&b'{') {
            closing(&source.code, after + length)
        } else {
            if let Some(name) = rest.get(..length).and_then(|item| item.trim().strip_prefix("mod ")) {
                test_files.insert(format!("{}/{}", module_folder(&source.path), name.trim()));
            }
            after + length
        };
        let (first, last) = (line_of(&source.code, at), line_of(&source.code, end));
        source.test.iter_mut().take(last + 1).skip(first).for_each(|line| *line = true);
    }
}

/// Where the files of a source's own modules are.
fn module_folder(path: &str) -> String {
    let whole = PathBuf::from(path);
    let folder = whole.parent().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
    match whole.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default().as_str() {
        "lib" | "main" | "mod" => folder,
        stem => format!("{folder}/{stem}"),
    }
}

/// The number of the line (from 0) on which a byte stands.
pub fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

/// The place of the brace that closes the one at `open`; the end of the text when there is none.
pub fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Replaces comments and the inside of string and character literals by spaces, keeping line ends and lengths.
pub fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let length = if rest.starts_with(b"//") {
            rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if byte == b'"' {
            quoted(rest, b'"')
        } else if byte == b'\'' && is_character(rest) {
            quoted(rest, b'\'')
        } else if let Some(length) = raw_string(bytes, at) {
            length
        } else {
            out.push(byte);
            at += 1;
            continue;
        };
        out.extend(rest.iter().take(length).map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }));
        at += length;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(pair) = rest.get(at..at + 2) {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Tells a character literal from a lifetime: a closing quote follows one character or an escape.
fn is_character(rest: &[u8]) -> bool {
    match rest.get(1) {
        Some(b'\\') => true,
        Some(&first) => {
            let width = match first {
                0..=0x7f => 1,
                0x80..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            rest.get(1 + width) == Some(&b'\'')
        }
        None => false,
    }
}

/// The length of a raw string that begins here (`r"…"`, `r#"…"#`), if one does.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    let inside_word =
        before.is_some_and(|&byte| (byte.is_ascii_alphanumeric() && byte != b'b') || byte == b'_');
    if rest.first() != Some(&b'r') || inside_word {
        return None;
    }
    let hashes = rest.iter().skip(1).take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = rest.get(2 + hashes..)?;
    let close = body.windows(end.len()).position(|window| window == end).unwrap_or(body.len());
    Some((2 + hashes + close + end.len()).min(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(blank(text), expected);
        assert_eq!(blank(text).len(), text.len());
    }

    #[test]
    fn comments_and_literals_are_blanked_and_lengths_stay() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e");
        check(r#"f("un\"safe", 'x', '\'')"#, "f(          ,    ,     )");
        check("r#\"a \"quoted\" {\"# }", "                  }");
        check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn items_under_cfg_test_and_their_files_are_test_code() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let found = sources(&[
            file("crates/x/src/lib.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n"),
            file("crates/x/src/deep.rs", "#[cfg(test)]\nmod cases;\n"),
            file("crates/x/src/deep/cases.rs", "fn d() {}\n"),
        ]);
        let marks: Vec<&[bool]> = found.iter().map(|source| source.test.as_slice()).collect();
        assert_eq!(marks, [&[false, true, true, true, true, false][..], &[true, true][..], &[true][..]]);
    }
}
