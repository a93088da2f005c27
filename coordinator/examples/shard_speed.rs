//! Measures how fast a file is sharded: `cargo run --release -p coordinator --example shard_speed -- [MIB] [RUNS]`.
//!
//! Makes a file of that size in a temporary folder, lists it, shards it by bytes, by rows and by both, and prints the
//! best of the runs. The file comes from the page cache then; the first pass is not counted.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use common::job::{Batching, CsvDialect, Source};
use common::slice::FrozenSource;
use coordinator::source::{AllowedRoots, Roots, Sharder, list};
use scheduler::SourceEnd;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mebibytes: u64 = arguments.next().map_or(Ok(1024), |text| text.parse())?;
    let runs: u32 = arguments.next().map_or(Ok(3), |text| text.parse())?;

    let folder = tempfile::tempdir()?;
    for (name, row) in [("plain", PLAIN), ("quoted", QUOTED)] {
        let path = folder.path().join(name);
        generate(&path, row, mebibytes << 20)?;
        let source = Source {
            uris: vec![name.to_owned()],
            csv: CsvDialect::default(),
        };
        let source = Arc::new(list(&source, &Roots::new(folder.path(), AllowedRoots::Anywhere)?)?);
        for (how, batching) in batchings()? {
            measure(name, how, &source, batching, runs)?;
        }
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

/// A row of 120 bytes or so without a quote.
const PLAIN: &str = "customer,17,2024-03-01,some city,some street and number,+49 30 1234567,one more field with a text in it,42.17,yes\n";
/// A row with quotes, a comma and a line break inside.
const QUOTED: &str = "\"['Overgrow', 'Chlorophyll']\",1,0.5,\"Seed \"\"x\"\" and\nmore\",49,5120,\"field with a text in it\",318,grass\n";

fn generate(path: &Path, row: &str, bytes: u64) -> anyhow::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(b"a,b,c,d,e,f,g,h,i\n")?;
    for _ in 0..bytes / row.len() as u64 {
        file.write_all(row.as_bytes())?;
    }
    file.flush()?;
    Ok(())
}

fn batchings() -> anyhow::Result<[(&'static str, Batching); 3]> {
    let bytes = NonZeroU64::new(8 << 20).context("is not zero")?;
    let unbounded = NonZeroU64::MAX;
    let rows = NonZeroU32::new(10_000);
    Ok([
        ("8 MiB", Batching::Bounded { rows: None, bytes }),
        ("10,000 rows", Batching::Bounded { rows, bytes: unbounded }),
        (
            "100 rows, 8 MiB",
            Batching::Bounded {
                rows: NonZeroU32::new(100),
                bytes,
            },
        ),
    ])
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn measure(name: &str, how: &str, source: &Arc<FrozenSource>, batching: Batching, runs: u32) -> anyhow::Result<()> {
    let mut best = f64::INFINITY;
    let mut slices = 0;
    for _ in 0..=runs {
        let started = Instant::now();
        let mut sharder = Sharder::new(Arc::clone(source), CsvDialect::default(), batching);
        while sharder.next_slices(64)?.end == SourceEnd::More {}
        best = best.min(started.elapsed().as_secs_f64());
        slices = sharder.cursor().slices();
    }
    let rate = source.total_bytes() as f64 / best / 1e9;
    println!("{name:8} {how:16} {rate:6.2} GB/s  {slices} slices");
    Ok(())
}
