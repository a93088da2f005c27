//! Serves made-up runs, to look at the pages at scale: `cargo run --release -p coordinator --example fixture_server -- 1000000`.
//!
//! Listens on 127.0.0.1:3000, or where the second argument says; a third names the folder that assets are read from (`-`:
//! none). Runs: r1 depth first, r2 breadth first (both of the asked size, with failures), then small ones: r3 plain, r4 with
//! a lost worker, r5 cancelled, r6 empty. A fourth argument asks for one live run instead, r1, and says for how many seconds
//! it goes on with 20,000 tasks in each.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ids::{Generation, RunId};
use coordinator::chart::fixture::{Fixture, Growing, Left, Shape, Story};
use coordinator::clock::Clock;
use coordinator::driver::{Driver, DriverHandle};
use coordinator::registry::Retention;
use coordinator::service::Service;
use coordinator::shutdown::shutdown_channel;
use coordinator::store::MemoryJournal;
use coordinator::submit::Folders;
use coordinator::timeline::Timelines;
use coordinator::web::{PageOptions, serve_web};
use tokio::net::TcpListener;

/// How many tasks a second the live run has.
const LIVE_RATE: u64 = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let tasks = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let journal = Box::new(MemoryJournal::new(Generation(1)));
    let retention = Retention {
        runs: 1_000,
        age: Duration::from_secs(86_400),
    };
    let no_source = |_: &_, _: &_| unreachable!("a journal in memory holds no run to go on with");
    let config = scheduler::Config::default();
    let timelines = Timelines::in_memory();
    let (driver, handle) = Driver::new(config, Clock::start(), journal, timelines, retention, no_source);
    let (trigger, shutdown) = shutdown_channel();
    let fixtures = [
        Fixture::new(RunId(1), tasks, Shape::DepthFirst, Story::Failures),
        Fixture::new(RunId(2), tasks, Shape::BreadthFirst, Story::Failures),
        Fixture::new(RunId(3), 2_000, Shape::DepthFirst, Story::Plain),
        Fixture::new(RunId(4), 20_000, Shape::DepthFirst, Story::LostWorker),
        Fixture::new(RunId(5), 2_000, Shape::BreadthFirst, Story::Cancelled),
        Fixture::new(RunId(6), 0, Shape::DepthFirst, Story::Empty),
    ];
    let ui_dir = arguments.next().filter(|folder| folder != "-");
    let live_seconds = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let here = Path::new(".");
    let service = Service::new(handle.clone(), Folders::new(here, here, &[])?);
    let listener = TcpListener::bind(&address).await?;
    let install = async {
        if live_seconds > 0 {
            return grow(&handle, live_seconds).await;
        }
        let install = move |world: &mut _| fixtures.iter().for_each(|fixture| fixture.install(world));
        handle.read(install).await?;
        anyhow::Ok(())
    };
    let driving = driver.run(shutdown.clone());
    tokio::pin!(driving);
    tokio::select! {
        installed = install => installed?,
        ended = &mut driving => return Ok(ended?),
    }
    let options = PageOptions {
        ui_dir: ui_dir.map(Into::into),
        grpc: ([127, 0, 0, 1], 50_051).into(),
    };
    let serving = serve_web(listener, service, options, shutdown);
    tokio::select! {
        ended = driving => ended?,
        served = serving => served?,
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    trigger.request();
    Ok(())
}

/// Lets a run grow by 20,000 tasks a second, on a thread that ends with the run.
async fn grow(handle: &DriverHandle, seconds: u64) -> anyhow::Result<()> {
    let fixture = Fixture {
        workers: 6,
        slots: 8,
        ..Fixture::new(RunId(0), LIVE_RATE * seconds, Shape::DepthFirst, Story::Failures)
    };
    let (_, mut growing) = Growing::start(handle, fixture).await?;
    let timelines = Arc::clone(handle.timelines());
    std::thread::Builder::new().name("grower".to_owned()).spawn(move || {
        let begun = Instant::now();
        let now = || u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        while growing.advance(&timelines, now()) == Left::Something {
            std::thread::sleep(Duration::from_millis(20));
        }
    })?;
    Ok(())
}
