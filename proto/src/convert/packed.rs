//! Frames: what goes many times over in one of them is packed into columns.
//!
//! Owns the packing of two kinds: leases of new batches that run the same ops ([`v1::Grants`]), and leases whose ops all
//! ran well ([`v1::ChainsRan`]). A number then costs a few bytes and no allocation. Everything else travels one by one,
//! and the order of a frame is kept: only neighbours are packed together.

use std::sync::Arc;

use common::done::OpDone;
use common::ids::{BatchId, Generation, LeaseId, RunId};
use common::message::{ChainRan, Grant, Input, OpRan, Report, Start, Step, ToWorker};
use common::slice::{ByteSlice, FileId, Slice};
use common::time::Time;

use super::ids::run_id;
use super::{InvalidMessage, each, known, required};
use crate::v1;
use crate::v1::grant::Start as WireStart;
use crate::v1::report::Report as WireReport;
use crate::v1::to_worker::Message;

/// Packs what a coordinator says in one frame.
pub fn messages_to_wire(messages: &[ToWorker]) -> Vec<v1::ToWorker> {
    let mut wire = Vec::new();
    let mut rest = messages;
    while let Some((first, behind)) = rest.split_first() {
        let alike = Alike::of(first).map_or(1, |alike| 1 + behind.iter().take_while(|next| alike.fits(next)).count());
        let (group, others) = rest.split_at(alike);
        rest = others;
        if alike == 1 {
            wire.push(first.into());
            continue;
        }
        let message = Some(Message::Grants(grants_to_wire(group)));
        wire.push(v1::ToWorker { message });
    }
    wire
}

/// Reads what a coordinator said in one frame.
///
/// # Errors
/// [`InvalidMessage`] for the first message that is not what the protocol allows.
pub fn messages_from_wire(wire: Vec<v1::ToWorker>) -> Result<Vec<ToWorker>, InvalidMessage> {
    let mut messages = Vec::with_capacity(wire.len());
    for message in wire {
        match message.message {
            Some(Message::Grants(grants)) => {
                grants_from_wire(grants, &mut messages).map_err(|error| error.within("grants"))?;
            }
            other => messages.push(v1::ToWorker { message: other }.try_into()?),
        }
    }
    Ok(messages)
}

/// Packs what a worker reports in one frame.
pub fn reports_to_wire(reports: &[Report]) -> Vec<v1::Report> {
    let mut wire = Vec::new();
    let mut rest = reports;
    while let Some((first, behind)) = rest.split_first() {
        let Report::ChainRan(ran) = first else {
            wire.push(first.into());
            rest = behind;
            continue;
        };
        let mut packed = new_chains(ran);
        let fits = |report: &&Report| match report {
            Report::ChainRan(ran) => belongs(&packed, ran),
            Report::OpStarted { .. }
            | Report::OpEnded { .. }
            | Report::FetchStarted { .. }
            | Report::Truncated { .. }
            | Report::LeaseEnded { .. }
            | Report::Published { .. }
            | Report::PublishFailed { .. }
            | Report::Draining => false,
        };
        let alike = 1 + behind.iter().take_while(fits).count();
        let (group, others) = rest.split_at(alike);
        rest = others;
        let mut last = Time::ZERO;
        for report in group {
            if let Report::ChainRan(ran) = report {
                last = pack_chain(&mut packed, ran, last);
            }
        }
        let report = Some(WireReport::ChainsRan(packed));
        wire.push(v1::Report { report });
    }
    wire
}

/// Reads what a worker reported in one frame.
///
/// # Errors
/// [`InvalidMessage`] for the first report that is not what the protocol allows.
pub fn reports_from_wire(wire: Vec<v1::Report>) -> Result<Vec<Report>, InvalidMessage> {
    let mut reports = Vec::with_capacity(wire.len());
    for report in wire {
        match report.report {
            Some(WireReport::ChainsRan(chains)) => {
                let read = chains_from_wire(chains).map_err(|error| error.within("chains_ran"))?;
                reports.extend(read.into_iter().map(Report::ChainRan));
            }
            other => reports.push(v1::Report { report: other }.try_into()?),
        }
    }
    Ok(reports)
}

/// What leases have in common that are packed together.
struct Alike<'a> {
    run: RunId,
    generation: Generation,
    steps: &'a Arc<[Step]>,
    start: Start,
}

impl Alike<'_> {
    fn of(message: &ToWorker) -> Option<Alike<'_>> {
        let ToWorker::Grant(grant) = message else { return None };
        let is_whole = grant.batch.is_some_and(|batch| batch.halves.depth() == 0);
        let is_new =
            matches!(&grant.input, Input::Slice(Slice::Bytes(slice)) if slice.rows_before == 0) && grant.past.is_none();
        (is_whole && is_new).then_some(Alike {
            run: grant.run,
            generation: grant.lease.generation,
            steps: &grant.steps,
            start: grant.start,
        })
    }

    fn fits(&self, message: &ToWorker) -> bool {
        Alike::of(message).is_some_and(|other| {
            let same_steps = || Arc::ptr_eq(self.steps, other.steps) || self.steps == other.steps;
            (self.run, self.generation, self.start) == (other.run, other.generation, other.start) && same_steps()
        })
    }
}

fn grants_to_wire(group: &[ToWorker]) -> v1::Grants {
    let mut packed = v1::Grants::default();
    for message in group {
        let ToWorker::Grant(grant) = message else { continue };
        let Input::Slice(Slice::Bytes(slice)) = &grant.input else {
            continue;
        };
        if packed.leases.is_empty() {
            packed.run = grant.run.0;
            packed.generation = grant.lease.generation.0;
            packed.steps = grant.steps.iter().map(Into::into).collect();
            packed.start = WireStart::from(grant.start).into();
            for column in [
                &mut packed.leases,
                &mut packed.batches,
                &mut packed.starts,
                &mut packed.bytes,
                &mut packed.first_lines,
                &mut packed.first_rows,
                &mut packed.rows,
            ] {
                column.reserve_exact(group.len());
            }
            packed.files.reserve_exact(group.len());
        }
        packed.leases.push(grant.lease.sequence);
        packed.batches.push(grant.batch.map_or(0, |batch| batch.index));
        packed.files.push(slice.file.0);
        packed.starts.push(slice.start);
        packed.bytes.push(slice.end.saturating_sub(slice.start));
        packed.first_lines.push(slice.first_line);
        packed
            .first_rows
            .push(slice.first_row.map_or(0, |row| row.saturating_add(1)));
        packed.rows.push(slice.rows.map_or(0, |rows| rows.saturating_add(1)));
    }
    packed
}

fn grants_from_wire(wire: v1::Grants, messages: &mut Vec<ToWorker>) -> Result<(), InvalidMessage> {
    let count = wire.leases.len();
    for (column, length) in [
        ("batches", wire.batches.len()),
        ("files", wire.files.len()),
        ("starts", wire.starts.len()),
        ("bytes", wire.bytes.len()),
        ("first_lines", wire.first_lines.len()),
        ("first_rows", wire.first_rows.len()),
        ("rows", wire.rows.len()),
    ] {
        check_length(column, length, count)?;
    }
    if wire.steps.is_empty() {
        return Err(InvalidMessage::missing("steps"));
    }
    let run = run_id("run", wire.run)?;
    let start = start_from_wire(wire.start)?;
    let generation = Generation(wire.generation);
    let steps: Vec<Step> = each("steps", wire.steps)?;
    let steps: Arc<[Step]> = steps.into();
    messages.reserve(count);
    for place in 0..count {
        let end = wire.starts[place].checked_add(wire.bytes[place]);
        let slice = ByteSlice {
            file: FileId(wire.files[place]),
            start: wire.starts[place],
            end: end.ok_or_else(|| InvalidMessage::new("bytes", "reach behind the end of any file"))?,
            first_line: wire.first_lines[place],
            first_row: wire.first_rows[place].checked_sub(1),
            rows: wire.rows[place].checked_sub(1),
            rows_before: 0,
        };
        let sequence = wire.leases[place];
        messages.push(ToWorker::Grant(Grant {
            lease: LeaseId { generation, sequence },
            run,
            batch: Some(BatchId::whole(wire.batches[place])),
            steps: Arc::clone(&steps),
            input: Input::Slice(Slice::Bytes(slice)),
            past: None,
            start,
        }));
    }
    Ok(())
}

pub(super) fn start_from_wire(start: i32) -> Result<Start, InvalidMessage> {
    match known("start", start)? {
        WireStart::Unspecified => Err(InvalidMessage::missing("start")),
        WireStart::Now => Ok(Start::Now),
        WireStart::OnFreedPermit => Ok(Start::OnFreedPermit),
    }
}

impl From<Start> for WireStart {
    fn from(start: Start) -> Self {
        match start {
            Start::Now => WireStart::Now,
            Start::OnFreedPermit => WireStart::OnFreedPermit,
        }
    }
}

impl From<&Step> for v1::Step {
    fn from(step: &Step) -> Self {
        v1::Step {
            op: step.op.0.into(),
            attempt: step.attempt.0,
        }
    }
}

/// Begins columns that a lease can be packed into.
fn new_chains(first: &ChainRan) -> v1::ChainsRan {
    v1::ChainsRan {
        generation: first.lease.generation.0,
        ..v1::ChainsRan::default()
    }
}

fn belongs(packed: &v1::ChainsRan, ran: &ChainRan) -> bool {
    let of_same = |lease: LeaseId| lease.generation.0 == packed.generation;
    of_same(ran.lease) && ran.heir.is_none_or(of_same)
}

/// Adds a lease to the columns; times are differences from the end of the op packed before, which it returns.
fn pack_chain(packed: &mut v1::ChainsRan, ran: &ChainRan, mut last: Time) -> Time {
    packed.leases.push(ran.lease.sequence);
    packed.slots.push(ran.slot);
    packed.heirs.push(ran.heir.map_or(0, |heir| heir.sequence));
    packed.ops.push(u32::try_from(ran.ops.len()).unwrap_or(u32::MAX));
    for op in &ran.ops {
        packed
            .waited_nanos
            .push(op.started.0.wrapping_sub(last.0).cast_signed());
        packed
            .took_nanos
            .push(op.ended.0.wrapping_sub(op.started.0).cast_signed());
        packed.rows_in.push(op.done.rows_in);
        packed.rows_out.push(op.done.rows_out);
        packed.rows_rejected.push(op.done.rows_rejected);
        packed.bytes_held.push(op.done.bytes_held);
        let place = u32::try_from(packed.rows_in.len() - 1).unwrap_or(u32::MAX);
        let parts = op.done.parts.iter().map(|part| v1::StagedPart {
            op: place,
            part: Some(part.into()),
        });
        packed.parts.extend(parts);
        last = op.ended;
    }
    last
}

/// Packs one lease alone.
pub(super) fn chain_to_wire(ran: &ChainRan) -> v1::ChainsRan {
    let mut packed = new_chains(ran);
    pack_chain(&mut packed, ran, Time::ZERO);
    packed
}

pub(super) fn chains_from_wire(wire: v1::ChainsRan) -> Result<Vec<ChainRan>, InvalidMessage> {
    let count = wire.leases.len();
    check_length("slots", wire.slots.len(), count)?;
    check_length("heirs", wire.heirs.len(), count)?;
    check_length("ops", wire.ops.len(), count)?;
    let ops: usize = wire.ops.iter().map(|ops| *ops as usize).sum();
    for (column, length) in [
        ("waited_nanos", wire.waited_nanos.len()),
        ("took_nanos", wire.took_nanos.len()),
        ("rows_in", wire.rows_in.len()),
        ("rows_out", wire.rows_out.len()),
        ("rows_rejected", wire.rows_rejected.len()),
        ("bytes_held", wire.bytes_held.len()),
    ] {
        check_length(column, length, ops)?;
    }
    let generation = Generation(wire.generation);
    let lease = |sequence| LeaseId { generation, sequence };
    let mut chains = Vec::with_capacity(count);
    let mut last = Time::ZERO;
    let mut place = 0;
    for chain in 0..count {
        let mut ran = Vec::with_capacity(wire.ops[chain] as usize);
        for op in place..place + wire.ops[chain] as usize {
            let started = Time(last.0.wrapping_add_signed(wire.waited_nanos[op]));
            last = Time(started.0.wrapping_add_signed(wire.took_nanos[op]));
            ran.push(OpRan {
                started,
                ended: last,
                done: OpDone {
                    rows_in: wire.rows_in[op],
                    rows_out: wire.rows_out[op],
                    rows_rejected: wire.rows_rejected[op],
                    bytes_held: wire.bytes_held[op],
                    ..OpDone::default()
                },
            });
        }
        place += ran.len();
        chains.push(ChainRan {
            lease: lease(wire.leases[chain]),
            slot: wire.slots[chain],
            ops: ran,
            heir: Some(wire.heirs[chain]).filter(|heir| *heir != 0).map(lease),
        });
    }
    give_parts(&mut chains, wire.parts)?;
    Ok(chains)
}

/// Gives each staged part to the op that it names, which stand in the order of the parts.
fn give_parts(chains: &mut [ChainRan], parts: Vec<v1::StagedPart>) -> Result<(), InvalidMessage> {
    let mut ops = (0_u32..).zip(chains.iter_mut().flat_map(|chain| &mut chain.ops));
    let mut current = None;
    for staged in parts {
        while current.as_ref().is_none_or(|(place, _)| *place < staged.op) {
            current = ops.next();
            if current.is_none() {
                return Err(InvalidMessage::new("parts.op", "names no op"));
            }
        }
        match &mut current {
            Some((place, op)) if *place == staged.op => op.done.parts.push(required("parts.part", staged.part)?),
            Some(_) | None => return Err(InvalidMessage::new("parts.op", "is not in order")),
        }
    }
    Ok(())
}

fn check_length(column: &str, length: usize, wanted: usize) -> Result<(), InvalidMessage> {
    if length == wanted {
        return Ok(());
    }
    let problem = format!("holds {length} elements where {wanted} are wanted");
    Err(InvalidMessage::new(column, problem))
}
