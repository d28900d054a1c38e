//! Threads that wait for the next kernel. A kernel takes about a millisecond, so starting threads for each would cost too
//! much.
//!
//! A thread takes the next part of a kernel when it has finished one, and the calling thread waits only for workers that have
//! taken a part. So a worker that the system has suspended, because other programs use its core, does not hold up the rest.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// How often a thread checks for the next job, or for the end of one, before it sleeps. This covers the gap between two
/// kernels of a step.
const SPINS: usize = 4000;

/// A fixed number of threads; the calling one is the first of them.
#[derive(Default)]
pub(crate) struct Pool {
    workers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    started: Condvar,
    finished: Condvar,
    /// The number of jobs so far. A worker spins on it.
    generation: AtomicU64,
    /// Workers that have started the job and not finished it. It changes while the state is locked; the calling thread
    /// spins on it.
    running: AtomicUsize,
}

#[derive(Default)]
struct State {
    generation: u64,
    /// Until no part of it is left.
    job: Option<Job>,
    panic: Option<Box<dyn Any + Send>>,
    stop: bool,
}

#[derive(Clone, Copy)]
struct Job(*const (dyn Fn(usize) + Sync));

#[expect(unsafe_code, reason = "a pointer to something that may be shared")]
// SAFETY: the function is Sync, and `Pool::run` keeps it until all workers that have started it have finished.
unsafe impl Send for Job {}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, thread: usize) {
        let mut seen = 0;
        loop {
            for _ in 0..SPINS {
                if self.generation.load(Ordering::Acquire) != seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let mut state = self.lock();
            while state.generation == seen && !state.stop {
                state = self.started.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stop {
                return;
            }
            seen = state.generation;
            // The other threads may have finished the job before this worker saw it.
            let Some(Job(job)) = state.job else { continue };
            self.running.fetch_add(1, Ordering::Relaxed);
            drop(state);
            #[expect(unsafe_code, reason = "the lifetime of the job is not known to the compiler")]
            // SAFETY: `Pool::run` does not return while `running` counts this worker.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*job)(thread) }));
            let mut state = self.lock();
            if let Err(panic) = result {
                state.panic.get_or_insert(panic);
            }
            if self.running.fetch_sub(1, Ordering::Release) == 1 {
                self.finished.notify_all();
            }
        }
    }
}

impl Pool {
    /// A pool of `threads` threads, at least one. If the system refuses some of them, it has fewer.
    pub(crate) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let workers = (1..threads)
            .map_while(|thread| {
                let shared = Arc::clone(&shared);
                let name = format!("kiln-kernel-{thread}");
                Builder::new().name(name).spawn(move || shared.work(thread)).ok()
            })
            .collect();
        Self { workers, shared }
    }

    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `job` for each part, with the number of the thread and of the part, and waits for the end of all calls. Which
    /// thread computes a part is not determined.
    pub(crate) fn run(&mut self, parts: usize, job: &(dyn Fn(usize, usize) + Sync)) {
        if self.workers.is_empty() || parts < 2 {
            (0..parts).for_each(|part| job(0, part));
            return;
        }
        let next = AtomicUsize::new(0);
        let work = |thread: usize| {
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    return;
                }
                job(thread, part);
            }
        };
        let work: &(dyn Fn(usize) + Sync) = &work;
        #[expect(
            unsafe_code,
            reason = "the workers outlive the job, but do not use it after this function"
        )]
        // SAFETY: only the lifetime changes. The pointer is used by workers that `running` counts, and this function
        // withdraws it and waits for them, also if its own part panics.
        let pointer = unsafe {
            std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(work)
        };
        let shared = &self.shared;
        let mut state = shared.lock();
        state.job = Some(Job(pointer));
        state.generation += 1;
        shared.generation.store(state.generation, Ordering::Release);
        drop(state);
        shared.started.notify_all();
        let own = catch_unwind(AssertUnwindSafe(|| work(0)));
        shared.lock().job = None;
        for _ in 0..SPINS {
            if shared.running.load(Ordering::Acquire) == 0 {
                break;
            }
            std::hint::spin_loop();
        }
        let mut state = shared.lock();
        while shared.running.load(Ordering::Acquire) > 0 {
            state = shared.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let panic = own.err().or(state.panic.take());
        drop(state);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.generation.store(u64::MAX, Ordering::Release);
        self.shared.started.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its jobs.
            drop(worker.join());
        }
    }
}
