//! Where text goes: results to standard output, everything else to standard error.
//!
//! Owns both streams and the progress bar that shares the terminal with them. A reader that has gone away
//! (`plumb runs | head`) ends no program: what it does not read is dropped.

use std::io::{self, IsTerminal as _};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

/// The width of charts where no terminal says one.
const DEFAULT_WIDTH: usize = 100;
/// The widest chart: beyond it eyes lose the row.
const MAX_WIDTH: usize = 200;

/// Whether results are for people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Lines and tables.
    Text,
    /// JSON on standard output, and nothing else there.
    Json,
}

impl Format {
    /// Reads the `--json` flag.
    pub(crate) fn from_flag(json: bool) -> Format {
        if json { Format::Json } else { Format::Text }
    }
}

/// Writes a result to standard output; ends it with a newline if it has none.
pub(crate) fn result(text: &str) {
    write_to(&mut io::stdout().lock(), text);
}

/// Writes a message for people to standard error.
pub(crate) fn message(text: &str) {
    write_to(&mut io::stderr().lock(), text);
}

fn write_to(stream: &mut dyn io::Write, text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    // There is nobody left to tell when this fails.
    let _ = write!(stream, "{text}{end}").and_then(|()| stream.flush());
}

/// Returns how many columns a chart may have.
pub(crate) fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).or_else(|_| rustix::termios::tcgetwinsize(io::stderr()));
    match size {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col).min(MAX_WIDTH),
        Ok(_) | Err(_) => DEFAULT_WIDTH,
    }
}

/// Standard error, shared by progress bars and lines.
#[derive(Clone)]
pub(crate) struct Screen {
    bars: Option<MultiProgress>,
}

impl Screen {
    /// Looks whether standard error is a terminal that can show bars.
    pub(crate) fn new() -> Screen {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let bars = (io::stderr().is_terminal() && !dumb)
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)));
        Screen { bars }
    }

    /// Adds a bar, if there is a terminal to draw it on.
    pub(crate) fn add_bar(&self) -> Option<ProgressBar> {
        self.bars.as_ref().map(|bars| bars.add(ProgressBar::no_length()))
    }

    /// Writes a line above the bars.
    pub(crate) fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| message(text)),
            None => message(text),
        }
    }
}
