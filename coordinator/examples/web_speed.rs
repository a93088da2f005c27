//! Measures what pages ask for, over HTTP: `cargo run --release -p coordinator --example web_speed -- 1000000 20`.
//!
//! First an ended run of the asked number of tasks (in both orders, with failures), written to files and read back from
//! them: how long until the run page has all that its chart is made of, and how long tiles of every level take. Then a
//! live run of 20,000 tasks/s for the asked seconds: what 50 viewers cost who follow its events, and what they cost when
//! they ask for the tiles in view with every tick. Prints rows for BENCHMARKS.md.

#![expect(clippy::print_stdout, reason = "a measurement prints what it found")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::ids::{Generation, RunId};
use common::summary::RunSummary;
use coordinator::chart::fixture::{Fixture, Growing, Shape, Story};
use coordinator::clock::Clock;
use coordinator::driver::{Driver, DriverHandle};
use coordinator::registry::Retention;
use coordinator::service::Service;
use coordinator::shutdown::shutdown_channel;
use coordinator::store::MemoryJournal;
use coordinator::submit::Folders;
use coordinator::timeline::Timelines;
use coordinator::web::{PageOptions, serve_web};
use serde_json::Value;
use tokio::net::TcpListener;

/// How many viewers follow the live run.
const VIEWERS: usize = 50;
/// How many tasks a second the live run has.
const RATE: u64 = 20_000;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let tasks = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let folder = std::env::temp_dir().join(format!("plumbline-web-speed-{}", std::process::id()));
    let measured = measure(tasks, seconds, &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(tasks: u64, seconds: u64, folder: &Path) -> anyhow::Result<()> {
    let fixtures = [Shape::DepthFirst, Shape::BreadthFirst];
    let fixtures = [1, 2].map(|run| Fixture::new(RunId(run), tasks, fixtures[run as usize - 1], Story::Failures));
    let begun = Instant::now();
    let writing = Timelines::in_folder(folder)?;
    let summaries = fixtures.map(|fixture| fixture.play(&writing));
    drop(writing);
    let written = begun.elapsed();
    for (fixture, summary) in fixtures.iter().zip(&summaries) {
        let bytes = fs::metadata(folder.join(format!("{}.rows", fixture.run)))?.len();
        let attempts = summary.tasks.succeeded + summary.tasks.failed;
        println!(
            "| {} | {attempts} attempts | {:.1} bytes an attempt on the disk |",
            fixture.run,
            bytes as f64 / attempts as f64
        );
    }
    println!("| made up and written in {written:.2?} | | |");
    let known = fixtures.into_iter().zip(summaries).collect();
    let (address, _ended) = serve(folder, known)?;
    for fixture in &fixtures {
        first_chart(address, fixture.run)?;
        for by in ["batch", "slot"] {
            tiles(address, fixture.run, by)?;
        }
    }
    println!(
        "| resident memory of the whole process | {} MiB | |",
        resident_bytes()? >> 20
    );
    // The live run has a coordinator of its own: there it is r1.
    let folder = folder.join("live");
    fs::create_dir(&folder)?;
    let (address, handle) = serve(&folder, Vec::new())?;
    live(address, &handle, seconds)
}

/// Starts a coordinator's pages on threads of their own: `core` drives, `web` serves.
/// Serves what lies in a folder, as a coordinator does that knows these runs, which have ended.
fn serve(folder: &Path, known: Vec<(Fixture, Arc<RunSummary>)>) -> anyhow::Result<(SocketAddr, DriverHandle)> {
    let timelines = Timelines::in_folder(folder)?;
    let (told, telling) = mpsc::sync_channel(1);
    let (driver, handle) = {
        let retention = Retention {
            runs: 1_000,
            age: Duration::from_secs(86_400),
        };
        let no_source = |_: &_, _: &_| unreachable!("a journal in memory holds no run to go on with");
        let journal = Box::new(MemoryJournal::new(Generation(1)));
        // The journal knows no run, so the files are moved away while the driver looks for those that nobody knows.
        let aside = folder.with_extension("aside");
        fs::create_dir_all(&aside)?;
        let moved = |from: &Path, to: &Path| -> std::io::Result<()> {
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                fs::rename(entry.path(), to.join(entry.file_name()))?;
            }
            Ok(())
        };
        moved(folder, &aside)?;
        let made = Driver::new(
            scheduler::Config::default(),
            Clock::start(),
            journal,
            timelines,
            retention,
            no_source,
        );
        moved(&aside, folder)?;
        fs::remove_dir(&aside)?;
        made
    };
    let (trigger, shutdown) = shutdown_channel();
    let stop = shutdown.clone();
    thread::Builder::new().name("core".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(driver.run(stop)).is_ok())
    })?;
    let serving = handle.clone();
    thread::Builder::new()
        .name("web".to_owned())
        .spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .thread_name("web")
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let install = move |world: &mut _| {
                    for (fixture, summary) in known {
                        fixture.install_ended(world, summary);
                    }
                };
                serving.read(install).await?;
                let here = Path::new(".");
                let service = Service::new(serving, Folders::new(here, here, &[])?);
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                told.send(listener.local_addr()?)?;
                let options = PageOptions {
                    ui_dir: None,
                    grpc: ([127, 0, 0, 1], 50_051).into(),
                };
                let served = serve_web(listener, service, options, shutdown).await;
                drop(trigger);
                Ok(served?)
            })
        })?;
    Ok((telling.recv().context("the server did not start")?, handle))
}

/// Asks for all that the run page draws its chart from, on a server that has not read the run yet.
fn first_chart(address: SocketAddr, run: RunId) -> anyhow::Result<()> {
    let mut client = Client::connect(address)?;
    let begun = Instant::now();
    client.get(&format!("/runs/{run}"))?;
    let page = begun.elapsed();
    client.json(&format!("/api/runs/{run}/chart"))?;
    let axes = begun.elapsed();
    let view = client.get(&format!("/api/runs/{run}/view?by=batch&width=1200&height=600&inline=1"))?;
    let viewed = begun.elapsed();
    client.json(&format!("/api/runs/{run}/series?points=600"))?;
    println!(
        "| {run}: first chart, read from the disk | {:.1?} | page {page:.1?}, axes {axes:.1?}, view with its tiles {viewed:.1?}, {} KiB |",
        begun.elapsed(),
        view.len() >> 10
    );
    let begun = Instant::now();
    client.json(&format!("/api/runs/{run}/totals"))?;
    println!("| {run}: totals of all attempts | {:.1?} | |", begun.elapsed());
    Ok(())
}

/// Asks for tiles of every level, each once.
fn tiles(address: SocketAddr, run: RunId, by: &str) -> anyhow::Result<()> {
    let mut client = Client::connect(address)?;
    let axes = client.json(&format!("/api/runs/{run}/chart"))?;
    let end_us = axes["end_us"].as_u64().unwrap_or(0);
    let rows = match by {
        "batch" => axes["batch_rows"].as_u64().unwrap_or(0),
        _ => axes["lanes"].as_array().map_or(0, Vec::len) as u64,
    };
    let mut times = Vec::new();
    for k in 10..=27 {
        for r in 0..=12 {
            let (columns, lines) = ((end_us >> k) / 512, (rows >> r) / 64);
            for step in 0..4 {
                let (i, j) = (columns * step / 3, lines * (3 - step) / 3);
                let begun = Instant::now();
                client.get(&format!("/api/runs/{run}/tiles/{by}/{k}/{r}/{i}/{j}"))?;
                times.push((begun.elapsed(), (k, r, i, j)));
            }
        }
    }
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 1_000];
    println!(
        "| {run} by {by}: {} tiles | p50 {:.2?}, p99 {:.2?} | slowest {:.1?} (k, r, i, j: {:?}) |",
        times.len(),
        at(500).0,
        at(990).0,
        at(1_000).0,
        at(1_000).1
    );
    Ok(())
}

/// Lets a run grow, with nobody looking, with viewers of its events, and with viewers who draw as well.
fn live(address: SocketAddr, handle: &DriverHandle, seconds: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let fixture = Fixture {
        workers: 6,
        slots: 8,
        ..Fixture::new(RunId(0), RATE * (seconds * 4 + 60), Shape::DepthFirst, Story::Failures)
    };
    let (run, mut growing) = runtime.block_on(Growing::start(handle, fixture))?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let timelines = Arc::clone(handle.timelines());
    let grower = thread::Builder::new().name("grower".to_owned()).spawn(move || {
        let begun = Instant::now();
        while !stopped.load(Ordering::Relaxed) {
            let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            growing.advance(&timelines, micros);
            thread::sleep(Duration::from_millis(20));
        }
    })?;
    // The chart has something to show when viewers come.
    thread::sleep(Duration::from_secs(2));
    for (what, viewers, draws) in [
        ("nobody looks", 0, Draws::Nothing),
        ("50 viewers follow", VIEWERS, Draws::Nothing),
        ("50 viewers follow and draw", VIEWERS, Draws::Tiles),
    ] {
        let ticks = Arc::new(AtomicU64::new(0));
        let leave = Arc::new(AtomicBool::new(false));
        let looking: Vec<_> = (0..viewers)
            .map(|_| {
                let (ticks, leave) = (Arc::clone(&ticks), Arc::clone(&leave));
                thread::spawn(move || follow(address, run, draws, &ticks, &leave))
            })
            .collect();
        thread::sleep(Duration::from_secs(1));
        let (cpu, writer, seen, begun) = (
            cpu_of("web")?,
            cpu_of("timeline")?,
            ticks.load(Ordering::Relaxed),
            Instant::now(),
        );
        thread::sleep(Duration::from_secs(seconds));
        let passed = begun.elapsed().as_secs_f64();
        let share = |nanos: u64| nanos as f64 / 1e9 / passed * 100.0;
        let told = (ticks.load(Ordering::Relaxed) - seen) as f64 / passed / viewers.max(1) as f64;
        println!(
            "| live, {RATE} tasks/s, {what} | web {:.1} % of a core, timeline {:.1} % | {told:.2} ticks/s a viewer |",
            share(cpu_of("web")?.saturating_sub(cpu)),
            share(cpu_of("timeline")?.saturating_sub(writer)),
        );
        leave.store(true, Ordering::Relaxed);
        for viewer in looking {
            viewer.join().ok().context("a viewer panicked")??;
        }
    }
    stop.store(true, Ordering::Relaxed);
    grower.join().ok().context("the grower panicked")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Draws {
    Nothing,
    Tiles,
}

fn follow(address: SocketAddr, run: RunId, draws: Draws, ticks: &AtomicU64, leave: &AtomicBool) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /api/runs/{run}/events HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut lines = BufReader::new(stream);
    let mut client = Client::connect(address)?;
    let mut line = String::new();
    let mut drawn = Drawn::default();
    while !leave.load(Ordering::Relaxed) {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            anyhow::bail!("the stream ended");
        }
        if !line.starts_with("data:") {
            continue;
        }
        ticks.fetch_add(1, Ordering::Relaxed);
        if draws == Draws::Tiles {
            drawn.redraw(&mut client, run, line.trim_start_matches("data:"))?;
        }
    }
    Ok(())
}

/// What a page has drawn: as the pages do, it asks for what changed.
#[derive(Default)]
struct Drawn {
    mark: String,
    tiles: std::collections::BTreeSet<String>,
    /// How many bytes came.
    bytes: u64,
}

impl Drawn {
    /// Shows the whole run as a tick tells of it.
    fn redraw(&mut self, client: &mut Client, run: RunId, tick: &str) -> anyhow::Result<()> {
        let tick: Value = serde_json::from_str(tick)?;
        let to_us = tick["chart"]["end_us"].as_u64().unwrap_or(0) * 103 / 100;
        let last_row = tick["chart"]["batch_rows"].as_u64().unwrap_or(0);
        let body = client.get(&format!(
            "/api/runs/{run}/view?by=batch&from_us=0&to_us={to_us}&first_row=0&last_row={last_row}\
             &width=1200&height=600&inline=1&since={}",
            self.mark
        ))?;
        self.bytes += body.len() as u64;
        let length = body
            .get(4..8)
            .context("a view has a length")?
            .try_into()
            .map(u32::from_le_bytes)? as usize;
        let view: Value = serde_json::from_slice(body.get(8..8 + length).context("a view is whole")?)?;
        view["mark"].as_str().unwrap_or_default().clone_into(&mut self.mark);
        for tile in view["tiles"].as_array().into_iter().flatten() {
            let url = tile["url"].as_str().unwrap_or_default().to_owned();
            if tile["bytes"].is_null() && !self.tiles.contains(&url) {
                self.bytes += client.get(&url)?.len() as u64;
            }
            self.tiles.insert(url);
        }
        Ok(())
    }
}

/// A connection that is kept.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let stream = BufReader::new(stream);
        Ok(Client { stream })
    }

    fn json(&mut self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.get(path)?)?)
    }

    fn get(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        write!(self.stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let (mut status, mut length, mut line) = (String::new(), 0, String::new());
        self.stream.read_line(&mut status)?;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
        }
        anyhow::ensure!(status.contains(" 200 "), "{path}: {status}");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }
}

/// Returns the nanoseconds that the threads of a name have used.
fn cpu_of(name: &str) -> anyhow::Result<u64> {
    let mut used = 0;
    for entry in fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        if fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name) {
            let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            used += text.split(' ').next().unwrap_or_default().parse().unwrap_or(0);
        }
    }
    Ok(used)
}

fn resident_bytes() -> anyhow::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).context("has a second field")?.parse()?;
    Ok(pages * 4_096)
}
