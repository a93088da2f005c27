//! A program while it runs: fed, read, listened to and, when it has to stop, killed with all that it started.
//!
//! Three threads serve its three ends, so that none of them waits for another; the op's own thread watches the program and
//! the cancel token. The program leads a process group. When it has ended, what is left of its group is killed before the
//! program is reaped, while its id cannot be anybody else's; so the threads come to the end of their pipes.
//!
//! Known weaknesses: a process that leaves the group is not killed, and one that keeps a pipe open keeps the op. When the worker
//! itself is killed, its programs learn of it by their pipes.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use common::failure::Failure;
use common::logs::LogLine;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::ops::CancelToken;

/// How often the program and the cancel token are looked at while the program writes, and once it has said all.
const LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_micros(500);
/// How much a program may write in any case, and how many times what it was given.
const MOST_BYTES: u64 = 64 << 20;
const MOST_TIMES: u64 = 4;

/// A program to be run.
pub(super) struct Program<'a> {
    pub(super) path: &'a Path,
    pub(super) args: &'a [String],
    /// All of its environment.
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// How much it may write.
    pub(super) most_bytes: u64,
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// What it wrote to its standard output.
    pub(super) written: Vec<u8>,
    /// The last line that it wrote to its standard error.
    pub(super) last_words: Option<String>,
}

/// Whether a program took what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// All of it.
    All,
    /// Some of it: it stopped reading.
    Refused,
}

/// Returns how much a program may write that is given so many bytes.
pub(super) fn most_bytes(given: u64) -> u64 {
    // One buffer holds it all, and views into it have 31-bit offsets.
    MOST_BYTES
        .saturating_add(given.saturating_mul(MOST_TIMES))
        .min(i32::MAX as u64 - 1_024)
}

impl Program<'_> {
    /// Runs the program to its end. A cancelled one is killed; the caller says what that means.
    pub(super) fn run(
        self,
        feed: impl FnOnce(&mut dyn Write) -> Result<Fed, Failure> + Send,
        say: impl FnMut(&str) + Send,
        cancel: &CancelToken,
    ) -> Result<Ended, Failure> {
        let mut command = Command::new(self.path);
        command
            .args(self.args)
            .env_clear()
            .envs(self.environment)
            .process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let shown = self.path.display();
        let mut child = command
            .spawn()
            .map_err(|error| Failure::retryable(format!("cannot start {shown}: {error}")))?;
        let group = Pid::from_child(&child);
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failure::permanent("a program was started without its pipes"));
        };
        let most = self.most_bytes;
        let has_room = AtomicBool::new(true);
        let (watched, fed, collected, last_words) = thread::scope(|scope| {
            let (watcher, room) = (thread::current(), &has_room);
            let feeding = scope.spawn(move || feed(&mut stdin));
            let reading = scope.spawn(move || {
                let collected = collect(stdout, most, room);
                watcher.unpark();
                collected
            });
            let listening = scope.spawn(move || listen(stderr, say));
            let watched = watch(
                group,
                || reading.is_finished(),
                || cancel.is_cancelled() || !has_room.load(Ordering::Relaxed),
            );
            // Whatever it left running; it is not reaped yet, so the group is still its own.
            kill(group);
            (watched, joined(feeding), joined(reading), joined(listening))
        });
        let io_failure = |what: &str, error: io::Error| Failure::retryable(format!("cannot {what} {shown}: {error}"));
        let status = child.wait().map_err(|error| io_failure("learn the end of", error))?;
        watched.map_err(|error| io_failure("watch", error))?;
        if !has_room.into_inner() {
            return Err(Failure::permanent(format!(
                "{shown} wrote more than {most} bytes; make the batches smaller, or what it writes"
            )));
        }
        let written = collected.map_err(|error| io_failure("read from", error))?;
        fed?;
        Ok(Ended {
            status,
            written,
            last_words,
        })
    }
}

/// Waits until the program has ended, and kills it when it has to stop. It stays to be reaped.
fn watch(group: Pid, has_said_all: impl Fn() -> bool, must_stop: impl Fn() -> bool) -> io::Result<()> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        if waitid(WaitId::Pid(group), options)?.is_some() {
            return Ok(());
        }
        if must_stop() {
            kill(group);
        }
        thread::park_timeout(if has_said_all() { LAST_LOOK } else { LOOK });
    }
}

fn kill(group: Pid) {
    // It may be gone, which is what is wanted.
    let _ = kill_process_group(group, Signal::KILL);
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Reads all that a program writes, or finds that it is too much.
fn collect(stdout: ChildStdout, most: u64, has_room: &AtomicBool) -> io::Result<Vec<u8>> {
    let mut written = Vec::new();
    stdout.take(most + 1).read_to_end(&mut written)?;
    has_room.store(written.len() as u64 <= most, Ordering::Relaxed);
    Ok(written)
}

/// Hands on each line; what is longer than a line may be is cut. Returns the last one.
fn listen(stderr: ChildStderr, mut say: impl FnMut(&str)) -> Option<String> {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut last = None;
    loop {
        let found = match stderr.fill_buf() {
            Ok(found) if !found.is_empty() => found,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => break,
        };
        let end = memchr::memchr(b'\n', found);
        let piece = &found[..end.unwrap_or(found.len())];
        line.extend(&piece[..piece.len().min(LogLine::MAX_TEXT - line.len().min(LogLine::MAX_TEXT))]);
        let used = end.map_or(found.len(), |end| end + 1);
        stderr.consume(used);
        if end.is_some() {
            last = tell(&mut line, &mut say).or(last);
        }
    }
    tell(&mut line, &mut say).or(last)
}

/// Says a line unless it is empty, and returns it.
fn tell(line: &mut Vec<u8>, say: &mut impl FnMut(&str)) -> Option<String> {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    line.clear();
    if text.is_empty() {
        return None;
    }
    say(&text);
    Some(text)
}
