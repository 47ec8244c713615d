//! MI over a named pipe (`mi_fifo`): `:reply_name:{json-rpc}` comes in, the reply goes to the pipe of that name in
//! the reply directory.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::config::Fifo;
use crate::execute::{Answer, Executor, stopped};
use crate::files;
use crate::limits;
use crate::pretty::Pretty;

/// Makes the pipe, in place of one that an earlier run left, and opens it.
///
/// # Errors
/// The directory cannot be written, or something that is not a pipe has this name.
pub(crate) fn create(config: &Fifo) -> io::Result<File> {
    if let Some(directory) = config.path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    match fs::symlink_metadata(&config.path) {
        Ok(found) if found.file_type().is_fifo() => fs::remove_file(&config.path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not a FIFO")),
        Err(_) => {}
    }
    let ids = files::owner_ids(config.user.as_ref(), config.group.as_ref())?;
    // Nobody else may open it before it has its owner and mode.
    mknodat(CWD, &config.path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Open for writing too: then the pipe never reports an end when a client closes it.
    let file = open(&config.path, true)?;
    files::give(&file, config.mode, ids)?;
    Ok(file)
}

/// Opens a pipe without waiting and without following a link, which somebody else may have put there.
fn open(path: &Path, read: bool) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = OpenOptions::new().read(read).write(true).custom_flags(flags).open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a FIFO"))
    }
}

/// Serves the pipe until `stop` turns true, then removes it.
pub(crate) async fn serve(
    file: File,
    config: Fifo,
    executor: Arc<Executor>,
    mut stop: watch::Receiver<bool>,
) {
    let replies = Arc::new(Semaphore::new(limits::FIFO_REPLIES));
    let mut identity = identity(&file);
    let mut reader = match pipe::Receiver::from_file(file) {
        Ok(reader) => reader,
        Err(error) => return tracing::error!("MI over FIFO cannot start: {error}"),
    };
    let config = Arc::new(config);
    let mut buffer = Vec::new();
    loop {
        let patience = if buffer.is_empty() { limits::FIFO_CHECK } else { limits::FIFO_PARTIAL };
        let read = tokio::select! {
            read = timeout(patience, reader.read_buf(&mut buffer)) => read,
            () = stopped(&mut stop) => break,
        };
        match read {
            Ok(Ok(_)) => take_requests(&mut buffer, false, &config, &executor, &replies),
            Ok(Err(error)) => {
                tracing::warn!("MI FIFO cannot be read: {error}");
                sleep(Duration::from_secs(1)).await;
            }
            // The rest of a request did not come: answer what there is, which says what is wrong with it.
            Err(_) if !buffer.is_empty() => take_requests(&mut buffer, true, &config, &executor, &replies),
            Err(_) if is_there(&config.path, identity) => {}
            Err(_) => match create(&config) {
                Ok(file) => {
                    tracing::info!("MI FIFO {} was gone and is made again", config.path.display());
                    let made = self::identity(&file);
                    if let Ok(again) = pipe::Receiver::from_file(file) {
                        (reader, identity) = (again, made);
                    }
                }
                Err(error) => tracing::warn!("MI FIFO {}: {error}", config.path.display()),
            },
        }
    }
    if is_there(&config.path, identity) {
        let _ = fs::remove_file(&config.path);
    }
}

/// Device and inode: another file of the same name is not ours.
fn identity(file: &File) -> Option<(u64, u64)> {
    file.metadata().ok().map(|found| (found.dev(), found.ino()))
}

fn is_there(path: &Path, identity: Option<(u64, u64)>) -> bool {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino())) == identity
}

fn take_requests(
    buffer: &mut Vec<u8>,
    complete: bool,
    config: &Arc<Fifo>,
    executor: &Arc<Executor>,
    replies: &Arc<Semaphore>,
) {
    loop {
        match frame(buffer, complete) {
            Frame::Incomplete if buffer.len() <= limits::FIFO_REQUEST_BYTES => return,
            Frame::Incomplete => {
                tracing::warn!("MI FIFO request larger than {} bytes dropped", limits::FIFO_REQUEST_BYTES);
                buffer.clear();
            }
            Frame::Skip { len } => drop(buffer.drain(..len)),
            Frame::Request { name, body, len } => {
                let name = String::from_utf8_lossy(&name).into_owned();
                buffer.drain(..len);
                match Arc::clone(replies).try_acquire_owned() {
                    Ok(permit) => {
                        let (config, executor) = (Arc::clone(config), Arc::clone(executor));
                        tokio::spawn(async move {
                            run(&config, &executor, &name, body).await;
                            drop(permit);
                        });
                    }
                    Err(_) => tracing::warn!("MI FIFO request dropped: too many replies wait for readers"),
                }
            }
        }
        if buffer.is_empty() {
            return;
        }
    }
}

#[derive(Debug, PartialEq)]
enum Frame {
    Incomplete,
    /// Bytes that are no request.
    Skip {
        len: usize,
    },
    Request {
        name: Vec<u8>,
        body: Vec<u8>,
        len: usize,
    },
}

/// Finds the first request. Clients need not end it in any way, so it ends where its JSON ends; with `complete`
/// nothing more is to come and it ends with the buffer.
fn frame(buffer: &[u8], complete: bool) -> Frame {
    let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let Some((b':', rest)) = buffer.get(blank..).and_then(<[u8]>::split_first) else {
        // Whatever this is, the next line may be better.
        let end = buffer.iter().skip(blank).position(|byte| *byte == b'\n');
        return Frame::Skip { len: end.map_or(buffer.len(), |at| blank + at + 1) };
    };
    let Some(colon) = rest.iter().take(256).position(|byte| *byte == b':') else {
        let hopeless = complete || rest.len() > 255;
        return if hopeless { Frame::Skip { len: buffer.len() } } else { Frame::Incomplete };
    };
    let (name, body) = (rest.get(..colon).unwrap_or_default(), rest.get(colon + 1..).unwrap_or_default());
    let end = match json_end(body) {
        Some(end) => end,
        None if complete => body.len(),
        None => return Frame::Incomplete,
    };
    let body = body.get(..end).unwrap_or_default().to_vec();
    Frame::Request { name: name.to_vec(), body, len: blank + 1 + colon + 1 + end }
}

/// Where the JSON text at the beginning of `text` ends: after the bracket that closes the first one, or at the end
/// of the line when it does not begin with a bracket.
fn json_end(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            b'\n' if depth == 0 && at > 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

async fn run(config: &Fifo, executor: &Arc<Executor>, name: &str, body: Vec<u8>) {
    let answer = executor.execute(body).await;
    // No name: the client wants no reply.
    if name.is_empty() || matches!(answer, Answer::Nothing) {
        return;
    }
    if let Err(error) = reply(config, name, answer).await {
        tracing::warn!("MI FIFO reply to {name:?} not sent: {error}");
    }
}

/// Whether a name stays inside the reply directory.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.bytes().all(|byte| byte != b'/' && byte != 0)
}

async fn reply(config: &Fifo, name: &str, answer: Answer) -> io::Result<()> {
    if !is_plain(name) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a reply name must not have a slash"));
    }
    let path = config.reply_dir.join(name);
    let mut writer = timeout(limits::FIFO_REPLY, open_reply(&path)).await??;
    let mut pretty = config.pretty.then(Pretty::default);
    match answer {
        Answer::Nothing => {}
        Answer::Whole(bytes) => write(&mut writer, &mut pretty, bytes).await?,
        Answer::Stream(mut chunks) => {
            while let Some(chunk) = chunks.recv().await {
                write(&mut writer, &mut pretty, chunk?).await?;
            }
        }
    }
    write(&mut writer, &mut None, b"\n".to_vec()).await
}

async fn write(writer: &mut pipe::Sender, pretty: &mut Option<Pretty>, bytes: Vec<u8>) -> io::Result<()> {
    let bytes = match pretty {
        None => bytes,
        Some(pretty) => {
            let mut indented = Vec::with_capacity(bytes.len() * 2);
            pretty.feed(&bytes, &mut indented);
            indented
        }
    };
    timeout(limits::FIFO_REPLY, writer.write_all(&bytes)).await?
}

/// Opens the client's pipe as soon as the client reads from it.
async fn open_reply(path: &Path) -> io::Result<pipe::Sender> {
    loop {
        match open(path, false) {
            Ok(file) => return pipe::Sender::from_file(file),
            // Nobody reads yet: clients open their end after they have written the request.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => sleep(Duration::from_millis(5)).await,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, complete: bool, expected: Frame) {
        assert_eq!(frame(input.as_bytes(), complete), expected, "{input:?}");
    }

    fn request(name: &str, body: &str, len: usize) -> Frame {
        Frame::Request { name: name.into(), body: body.into(), len }
    }

    #[test]
    fn a_request_ends_where_its_json_ends() {
        check(":r:{}", false, request("r", "{}", 5));
        check(":r:{}\n:s:{}", false, request("r", "{}", 5));
        check("\n\n:r:{\"a\":\"}\\\"}\"}x", false, request("r", "{\"a\":\"}\\\"}\"}", 17));
        check("::[{},{}]", false, request("", "[{},{}]", 9));
        check(":r:nonsense\n", false, request("r", "nonsense\n", 12));
    }

    #[test]
    fn the_rest_of_a_request_is_waited_for_but_not_for_ever() {
        check(":r", false, Frame::Incomplete);
        check(":r:{\"a\":1", false, Frame::Incomplete);
        check(":r:{\"a\":1", true, request("r", "{\"a\":1", 9));
        check(":r", true, Frame::Skip { len: 2 });
        check(&format!(":{}", "x".repeat(300)), false, Frame::Skip { len: 301 });
    }

    #[test]
    fn what_is_no_request_is_skipped_to_the_next_line() {
        check("garbage\n:r:{}", false, Frame::Skip { len: 8 });
        check("garbage", false, Frame::Skip { len: 7 });
        check("", true, Frame::Skip { len: 0 });
    }

    #[test]
    fn reply_names_stay_in_their_directory() {
        for (name, plain) in
            [("r", true), ("a b", true), ("../x", false), ("..", false), ("/x", false), ("a\0", false)]
        {
            assert_eq!(is_plain(name), plain, "{name:?}");
        }
    }
}
