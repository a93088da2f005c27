//! `plumb limits`: changes limits of a run while it goes on.

use std::str::FromStr;

use common::job::Rate;
use common::units::ByteSize;

use super::{CommandError, follow};
use crate::args::{FormatArgs, RunArgs};
use crate::client::LimitsChange;
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  plumb limits r7 --cap 8
  plumb limits r7 --op load=2 --rate enrich=50/s --rate enrich_2=none
  plumb limits r7 --in-flight 20 --bytes 1GiB --weight 2

`none` takes a limit off. What runs above a lowered limit goes on; nothing begins above it once the command is back.";

/// Which limits to change, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// How many tasks of the run may run at once, or `none`.
    #[arg(long, value_name = "N")]
    cap: Option<Limit<u32>>,
    /// The most batches in flight, or `none` for the default.
    #[arg(long, value_name = "N")]
    in_flight: Option<Limit<u32>>,
    /// The most bytes in flight, such as `512MiB`, or `none` for the default.
    #[arg(long, value_name = "SIZE")]
    bytes: Option<Limit<ByteSize>>,
    /// The most batches that wait for their commit, or `none` for the default.
    #[arg(long, value_name = "N")]
    committing: Option<Limit<u32>>,
    /// The share of permits among runs of equal priority.
    #[arg(long, value_name = "NUMBER")]
    weight: Option<f64>,
    /// How many tasks of an op may run at once, or `none`; may be given several times.
    #[arg(long = "op", value_name = "OP=N")]
    ops: Vec<OfOp<u32>>,
    /// How much of an op may begin in a time, such as `50/s` or `1000 rows/s`, or `none`; may be given several times.
    #[arg(long = "rate", value_name = "OP=RATE")]
    rates: Vec<OfOp<Rate>>,
    #[command(flatten)]
    format: FormatArgs,
}

/// A limit, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit<T>(Option<T>);

/// A limit of an op.
#[derive(Clone, Debug, PartialEq)]
struct OfOp<T> {
    op: String,
    limit: Limit<T>,
}

impl<T: FromStr<Err: ToString>> FromStr for Limit<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Limit(None));
        }
        let limit = text.parse().map_err(|error: T::Err| error.to_string())?;
        Ok(Limit(Some(limit)))
    }
}

impl<T: FromStr<Err: ToString>> FromStr for OfOp<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (op, limit) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} names no limit; write the op's name, `=` and the limit"))?;
        Ok(OfOp {
            op: op.to_owned(),
            limit: limit.parse()?,
        })
    }
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut change = LimitsChange::default();
    if let Some(Limit(cap)) = args.cap {
        change.cap(cap);
    }
    if let Some(Limit(bound)) = args.in_flight {
        change.in_flight(bound);
    }
    if let Some(Limit(bound)) = args.bytes {
        change.bytes(bound.map(|size| size.0));
    }
    if let Some(Limit(bound)) = args.committing {
        change.committing(bound);
    }
    if let Some(weight) = args.weight {
        change.weight(weight);
    }
    for OfOp { op, limit } in &args.ops {
        change.op(op, limit.0);
    }
    for OfOp { op, limit } in &args.rates {
        change.rate(op, limit.0);
    }
    if change.is_empty() {
        let usage = "name a limit to change: --cap, --in-flight, --bytes, --committing, --weight, --op or --rate";
        return Err(CommandError::Usage(usage.to_owned()));
    }
    let mut client = args.run.coordinator.connect().await?;
    let view = client.change_limits(&args.run.run, change).await?;
    follow::print(&view, args.format.format());
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_ops_read_with_their_names_and_none_takes_one_off() {
        let load: OfOp<u32> = "load=2".parse().expect("is a limit");
        assert_eq!((load.op.as_str(), load.limit), ("load", Limit(Some(2))));
        let rate: OfOp<Rate> = "enrich=none".parse().expect("is a limit");
        assert_eq!(rate.limit, Limit(None));
        assert!("load".parse::<OfOp<u32>>().is_err());
        assert!("load=many".parse::<OfOp<u32>>().is_err());
    }
}
