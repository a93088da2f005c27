//! Which instructions a kernel runs with: chosen when the program runs.

use crate::mask::Kernel;
#[cfg(not(target_arch = "x86_64"))]
use crate::mask::Portable;

/// Runs a kernel with the widest instructions that this machine has.
pub fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        crate::x86::run(kernel)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        kernel.run(Portable)
    }
}
