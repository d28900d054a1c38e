//! Measures the largest single allocation of a test.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system allocator, with the largest allocation of each thread recorded. Tests run in separate
/// threads, so they do not affect each other.
struct Recording;

#[global_allocator]
static ALLOCATOR: Recording = Recording;

#[expect(unsafe_code, reason = "implementing an allocator is unsafe; all calls are forwarded")]
// SAFETY: every call is forwarded to `System` unchanged.
unsafe impl GlobalAlloc for Recording {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        record(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        record(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        record(size);
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

fn record(size: usize) {
    // Fails while the thread is being destroyed; its last allocations do not matter.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

/// Starts a new measurement in this thread.
pub(crate) fn reset() {
    LARGEST.set(0);
}

/// The size in bytes of the largest allocation of this thread since [`reset`].
pub(crate) fn largest() -> usize {
    LARGEST.get()
}
