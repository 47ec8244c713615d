//! Memory that will be read soon.

/// Asks memory for the cache line that an address is in, so that a read a little later does not wait for it. Any address
/// will do; nothing happens on processors where Rust offers no such instruction.
#[inline]
pub fn ask_memory(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction is part of every x86-64 processor, reads nothing that a program could see and does not
        // fault, whatever the address is.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    #[test]
    fn any_address_will_do() {
        super::ask_memory(b"here".as_ptr());
        super::ask_memory(std::ptr::null());
        super::ask_memory(std::ptr::without_provenance(usize::MAX));
    }
}
