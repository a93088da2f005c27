//! Measures a chain in one thread: `cargo run --release -p worker --example chain_speed -- [MIB] [RUNS]`.
//!
//! Reads the sample's rows over and over from a file in a temporary folder (the page cache, then), keeps four columns,
//! adds a uuid, and writes CSV parts. Prints for each op how many megabytes of input a second it does, for the best of
//! the runs. Nothing else of a cluster takes part, so a profile of it shows the data path alone.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::failure::Failure;
use common::ids::{Attempt, BatchId, Generation, LeaseId, OpId, RunId};
use common::job::{
    Add, AddedColumn, Batching, ColumnKind, FailurePolicy, FileFormat, FileSink, IfExists, Job, Op as JobOp, OpKind,
    Schedule, Select, SelectedColumn, SingleFile, Sink, Source,
};
use common::slice::{ByteSlice, FileId, FrozenSource, RunContext, Slice, SourceFile};
use worker::ops::plan::Plan;
use worker::ops::{CancelToken, OpContext, OpInput, Registry};

const RUN: RunId = RunId(1);
/// The size of a slice.
const SLICE: usize = 4 << 20;
const KEPT: [&str; 4] = ["name", "generation", "type1", "type2"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mebibytes: usize = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let runs: u32 = arguments.next().map_or(Ok(3), |text| text.parse())?;

    let folder = tempfile::tempdir()?;
    let (source, slices) = generate(&folder.path().join("input.csv"), mebibytes << 20)?;
    let bytes = source.total_bytes();
    let source = Arc::new(source);
    let mut best: Vec<Duration> = Vec::new();
    for run in 0..runs {
        let output = folder.path().join(format!("output-{run}"));
        let plan = Plan::new(&Registry::standard(), Arc::new(context(&source, &output)))?;
        let taken = measure(&plan, &slices)?;
        if best.is_empty() || taken.iter().sum::<Duration>() < best.iter().sum() {
            best = taken;
        }
        std::fs::remove_dir_all(output)?;
    }
    let names = ["extract", "select", "add a uuid", "write parts"];
    for (name, time) in names.into_iter().zip(&best) {
        show(name, bytes, *time);
    }
    show("all of it", bytes, best.iter().sum());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn show(name: &str, bytes: u64, time: Duration) {
    let rate = bytes as f64 / time.as_secs_f64() / 1e6;
    println!("{name:12} {:8.3} s {rate:10.0} MB/s", time.as_secs_f64());
}

/// Writes about so many bytes of the sample's rows, and cuts them into slices.
fn generate(path: &Path, bytes: usize) -> std::io::Result<(FrozenSource, Vec<ByteSlice>)> {
    let sample = std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../data/pokemon.csv"))?;
    let header_end = 1 + sample.iter().position(|byte| *byte == b'\n').unwrap_or_default();
    let (header, rows) = sample.split_at(header_end);
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(header)?;
    let per_slice = (SLICE / rows.len()).max(1);
    let mut slices = Vec::new();
    let mut at = header.len();
    while at < bytes {
        for _ in 0..per_slice {
            file.write_all(rows)?;
        }
        let end = at + per_slice * rows.len();
        slices.push(ByteSlice {
            file: FileId(0),
            start: at as u64,
            end: end as u64,
            first_line: 2,
            first_row: None,
            rows: None,
            rows_before: 0,
        });
        at = end;
    }
    let found = file.into_inner()?.metadata()?;
    let listed = SourceFile {
        path: path.to_string_lossy().into_owned(),
        bytes: found.len(),
        etag: SourceFile::etag_of(found.ino(), found.size(), found.mtime(), found.mtime_nsec()),
        data_start: header.len() as u64,
    };
    let columns = String::from_utf8_lossy(header);
    let source = FrozenSource {
        files: vec![listed],
        columns: columns.trim_end().split(',').map(str::to_owned).collect(),
    };
    Ok((source, slices))
}

fn context(source: &Arc<FrozenSource>, output: &Path) -> RunContext {
    let column = |name: &&str| SelectedColumn {
        source: (*name).to_owned(),
        name: (*name).to_owned(),
    };
    let select = Select {
        columns: KEPT.iter().map(column).collect(),
    };
    let id = AddedColumn {
        name: "internal_id".to_owned(),
        kind: ColumnKind::Uuid,
    };
    let sink = Sink::File(FileSink {
        format: FileFormat::Csv,
        uri: output.to_string_lossy().into_owned(),
        single_file: SingleFile::Parts,
        if_exists: IfExists::Refuse,
    });
    let job = Job {
        name: "speed".to_owned(),
        source: Source {
            uris: vec![source.files[0].path.clone()],
            csv: Default::default(),
        },
        batching: Batching::default(),
        schedule: Schedule::default(),
        ops: vec![
            JobOp::extract(),
            JobOp::new("pick".to_owned(), OpKind::Select(select)),
            JobOp::new("id".to_owned(), OpKind::Add(Add { columns: vec![id] })),
            JobOp::new("load".to_owned(), OpKind::Write(sink)),
        ],
        failure: FailurePolicy::default(),
        deadline: None,
        labels: Default::default(),
        seed: None,
        checkpoint_uri: None,
    };
    RunContext {
        run: RUN,
        job: Arc::new(job),
        source: Arc::clone(source),
        seed: 1,
    }
}

/// Runs the chain over every slice; returns the time that each op took.
fn measure(plan: &Plan, slices: &[ByteSlice]) -> Result<Vec<Duration>, Failure> {
    let ids: Vec<OpId> = plan.run().job.op_ids().collect();
    let mut ops = ids.iter().map(|id| plan.open(*id)).collect::<Result<Vec<_>, _>>()?;
    let mut taken = vec![Duration::ZERO; ops.len()];
    for (batch, slice) in (0..).zip(slices) {
        let mut input = OpInput::Slice(Slice::Bytes(slice.clone()));
        for (place, op) in ops.iter_mut().enumerate() {
            let context = OpContext {
                run: RUN,
                batch: BatchId::whole(batch),
                op: ids[place],
                attempt: Attempt::FIRST,
                lease: LeaseId {
                    generation: Generation(1),
                    sequence: batch,
                },
                seed: 1,
                cancel: CancelToken::default(),
                task_log: Arc::default(),
            };
            let started = Instant::now();
            input = OpInput::Batch(op.run(input, &context)?.batch);
            taken[place] += started.elapsed();
        }
    }
    Ok(taken)
}
