//! Asking the processor to load a line that will be needed soon: only ever a hint.
#![expect(unsafe_code, reason = "the prefetch instruction takes a raw address; it never faults")]

/// Asks for the cache line at `address`, whatever lies there.
#[inline]
pub(crate) fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching has no effect but on the caches and is defined for every address, mapped or not.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
