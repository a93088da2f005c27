//! Bytes looked at 64 at a time, as fast as the processor can.
//!
//! Owns the masks over blocks of bytes ([`Masks`]) that the sharding, the CSV reader and the CSV writer are made of,
//! the choice of instructions at run time ([`run`]), and text columns made of views into bytes ([`TextViews`], with
//! the feature `text`). What the bytes mean is the users' business.
//!
//! This is the only crate with unsafe code: vector instructions (AVX2, AVX-512) and the claim that views which were
//! checked one by one need not be checked again. Each use has its reason beside it, and property tests hold every
//! way against the plain one. Machines without these instructions take [`Portable`].
//!
//! Known weakness: no ARM instructions of its own; the portable way is what the compiler makes of plain loops.

mod dispatch;
mod mask;
#[cfg(feature = "text")]
mod text;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use dispatch::run;
pub use mask::{BLOCK, Kernel, Masks, Portable};
#[cfg(feature = "text")]
pub use text::{NotUtf8, TextViews, ascii_column};

#[cfg(test)]
mod tests;
