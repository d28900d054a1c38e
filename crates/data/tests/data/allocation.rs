//! The largest piece of memory that a test asks for at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, watched. Other threads, and so other tests, do not count.
struct Watched;

#[global_allocator]
static ALLOCATOR: Watched = Watched;

#[expect(unsafe_code, reason = "an allocator is unsafe to implement; all work is the system's")]
// SAFETY: every call is handed to `System` as it came.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

fn note(size: usize) {
    // A thread that is ending has no more to note.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

/// Forgets what this thread asked for so far.
pub(crate) fn watch() {
    LARGEST.set(0);
}

/// The most bytes that this thread asked for at once since [`watch`].
pub(crate) fn largest() -> usize {
    LARGEST.get()
}
