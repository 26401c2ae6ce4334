//! Gives memory back to the system: the pages of the program's files that start-up has touched, and what the
//! allocator holds for nobody.
//!
//! The kernel counts every page of the program and its libraries that a process has used as its
//! memory, and maps the pages around each with it. Reading the command line and the stack file runs
//! through megabytes of code that is never used again. Between such stretches the pages are given
//! back: what is needed again comes from the page cache, without a disk, at some microseconds for
//! each piece. So the peak is that of the largest stretch, not the sum of all.
//!
//! Only a process that has asked for it ([`stay_small`]) gives pages back: one that captures beside
//! somebody's step. Others have better things to do.
//!
//! Apart because it is the only place that knows how a program lies in memory. It does not touch
//! what was ever written to: data, heap, stack, and what the loader has put addresses into.

use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc::{self, dl_phdr_info, size_t};
use nix::unistd::{SysconfVar, sysconf};

/// Whether pages are given back.
static SMALL: AtomicBool = AtomicBool::new(false);

/// From now on this process gives pages back.
pub(crate) fn stay_small() {
    SMALL.store(true, Ordering::Relaxed);
    give_back();
}

/// Gives back what can be had again from the program's file and its libraries' files. To be called
/// between two stretches of work that use other parts of the program.
pub(crate) fn give_back() {
    if !SMALL.load(Ordering::Relaxed) {
        return;
    }
    let Ok(Some(mut page)) = sysconf(SysconfVar::PAGE_SIZE) else { return };
    // SAFETY: `each` is what dl_iterate_phdr(3) calls, and takes a pointer to a number.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut page).cast()) };
}

/// Gives back what was freed and the allocator has kept: after a load that may not come again. It looks at all of the
/// heap, some milliseconds for a large one.
pub(crate) fn trim() {
    // Other allocators give back by themselves, or cannot be told to.
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// One loaded file.
unsafe extern "C" fn each(info: *mut dl_phdr_info, _: size_t, page: *mut c_void) -> c_int {
    // SAFETY: the loader gives a description that is valid during the call; its headers are an
    // array of that length. The number is that of `give_back`.
    let (base, headers, page) = unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        (info.dlpi_addr, headers, *page.cast::<c_long>() as u64)
    };
    for header in headers {
        // What may be written to is not in the file as it is in memory.
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let start = (base + header.p_vaddr) / page * page;
        let length = base + header.p_vaddr + header.p_memsz - start;
        // SAFETY: the range is one mapping of a file, never written to, so that a page of it that
        // is used again is read from the file and is the same. An error changes nothing.
        unsafe { libc::madvise(start as *mut c_void, length as size_t, libc::MADV_DONTNEED) };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident pages of files, in KiB.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn pages_go_and_come_back() {
        let text = "some text, in the program's constants".to_owned();
        let before = resident();
        stay_small();
        SMALL.store(false, Ordering::Relaxed);
        let after = resident();
        assert!(after < before, "{after} KiB of {before} KiB are left");
        assert_eq!(text, "some text, in the program's constants");
    }
}
