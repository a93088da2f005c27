//! Following a remote run: shows it until it ends, or until a Ctrl-C detaches from it.

use super::{CommandError, system};
use crate::client::{Client, RunView};
use crate::exit::Exit;
use crate::output::{self, Format, Screen};
use crate::progress::Progress;
use crate::signals::Signals;

/// What becomes of a run that was just made.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct MadeArgs {
    /// Waits for the new run's end and prints its summary. Ctrl-C detaches; the run goes on.
    #[arg(long)]
    wait: bool,
    /// Prints the summary as JSON.
    #[arg(long)]
    json: bool,
}

impl MadeArgs {
    pub(super) fn format(self) -> Format {
        Format::from_flag(self.json)
    }

    /// Waits for the run, or says how to.
    pub(super) async fn made(self, client: Client, run: &str) -> Result<Exit, CommandError> {
        if self.wait {
            return follow(client, run, self.format()).await;
        }
        if self.format() == Format::Text {
            output::message(&format!(
                "watch it with: plumb watch {run} --coordinator {}",
                client.addresses()
            ));
        }
        Ok(Exit::Ok)
    }
}

/// Follows a run, prints its summary, and says how the program ends.
pub(super) async fn follow(mut client: Client, run: &str, format: Format) -> Result<Exit, CommandError> {
    let mut signals = Signals::listen().map_err(system("listen for signals"))?;
    let mut watch = client.watch(run).await?;
    let mut progress = Progress::begin(&Screen::new());
    let mut last: Option<RunView> = None;
    loop {
        tokio::select! {
            update = watch.next() => match update? {
                Some(view) => {
                    progress.update(&view);
                    last = Some(view);
                }
                None => break,
            },
            () = signals.next() => {
                progress.end();
                output::message(&format!(
                    "detached; the run goes on. watch it again with: plumb watch {run} --coordinator {}",
                    client.addresses()
                ));
                return Ok(Exit::Detached);
            }
        }
    }
    progress.end();
    let view = match last {
        Some(view) => view,
        None => client.run(run).await?,
    };
    print(&view, format);
    Ok(Exit::of_run(view.summary.state))
}

/// Prints a run's summary.
pub(super) fn print(view: &RunView, format: Format) {
    match format {
        Format::Json => output::result(&view.summary.to_json()),
        Format::Text => output::result(&view.summary.to_text()),
    }
}
