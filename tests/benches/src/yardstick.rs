//! What a program without an engine does on the same machine: a loop on the csv crate, a thread for each half.
//!
//! It reads, keeps four columns, adds a uuid and writes CSV part files, and does none of what an engine adds: no
//! batches, no checks, no journal, nothing synced, nothing put in place. It cuts the input in the middle at a line feed,
//! which is right for the sample's rows and wrong where a quoted field holds one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::thread;
use std::time::Instant;

use tests::Scratch;
use uuid::Builder;

use crate::data::{COLUMNS, throughput};
use crate::figure::Figure;

/// Bytes that are read and written at once.
const BUFFER: usize = 1 << 20;

/// Reads a file once, so that it is in the page cache.
pub(crate) fn warm(path: &Path) {
    std::io::copy(&mut File::open(path).expect("is there"), &mut std::io::sink()).expect("can be read");
}

/// Measures the loop.
pub(crate) fn csv_loop(input: &Path, scratch: &Scratch) -> Figure {
    let bytes = std::fs::metadata(input).expect("is there").len();
    let outputs = [scratch.path("half-1.csv"), scratch.path("half-2.csv")];
    let started = Instant::now();
    let middle = line_behind(input, bytes / 2);
    let first_row = line_behind(input, 0);
    let rows: u64 = thread::scope(|scope| {
        let halves = [first_row..middle, middle..bytes];
        let threads: Vec<_> = halves
            .into_iter()
            .zip(&outputs)
            .map(|(half, output)| scope.spawn(move || convert(input, half, output)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    let seconds = started.elapsed().as_secs_f64();
    for output in &outputs {
        std::fs::remove_file(output).expect("was written");
    }
    throughput(Figure::new("W3", "csv crate, a loop on 2 threads"), bytes, seconds).with("rows", rows)
}

/// Returns where the line behind a place begins.
fn line_behind(path: &Path, place: u64) -> u64 {
    let mut file = File::open(path).expect("is there");
    file.seek(SeekFrom::Start(place)).expect("is a file");
    let mut line = Vec::new();
    std::io::BufRead::read_until(&mut std::io::BufReader::new(file), b'\n', &mut line).expect("can be read");
    place + line.len() as u64
}

fn convert(input: &Path, half: std::ops::Range<u64>, output: &Path) -> u64 {
    let mut header = csv::Reader::from_path(input).expect("is there");
    let header = header.byte_headers().expect("has a header");
    let places: Vec<usize> = COLUMNS
        .iter()
        .map(|name| {
            header
                .iter()
                .position(|column| column == name.as_bytes())
                .expect("is a column")
        })
        .collect();
    let mut file = File::open(input).expect("is there");
    file.seek(SeekFrom::Start(half.start)).expect("is a file");
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .buffer_capacity(BUFFER)
        .from_reader(file.take(half.end - half.start));
    let mut writer = csv::WriterBuilder::new()
        .buffer_capacity(BUFFER)
        .from_path(output)
        .expect("can be made");
    let names = COLUMNS.into_iter().chain(["internal_id"]);
    writer.write_record(names).expect("the disk has room");
    let mut record = csv::ByteRecord::new();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let mut random = SplitMix { state: half.start };
    let mut rows = 0;
    while reader.read_byte_record(&mut record).expect("is CSV") {
        for &place in &places {
            writer.write_field(&record[place]).expect("the disk has room");
        }
        let id = Builder::from_random_bytes(random.bytes()).into_uuid();
        let id = id.hyphenated().encode_lower(&mut text);
        writer.write_field(id.as_bytes()).expect("the disk has room");
        writer.write_record(None::<&[u8]>).expect("the disk has room");
        rows += 1;
    }
    writer.flush().expect("the disk has room");
    rows
}

/// SplitMix64 (Steele, Lea, Flood, 2014): the quickest way to bits that look random.
struct SplitMix {
    state: u64,
}

impl SplitMix {
    fn bytes(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_le_bytes());
        bytes[8..].copy_from_slice(&self.next().to_le_bytes());
        bytes
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
