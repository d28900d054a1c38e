//! Threads that wait for the next kernel. A kernel takes about a millisecond, so starting threads for each would cost too
//! much.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// How often a worker looks for the next job before it sleeps: some ten microseconds, longer than between two kernels of
/// a step.
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
}

#[derive(Default)]
struct State {
    generation: u64,
    job: Option<Job>,
    /// Workers that have not finished the job.
    running: usize,
    panic: Option<Box<dyn Any + Send>>,
    stop: bool,
}

#[derive(Clone, Copy)]
struct Job(*const (dyn Fn(usize) + Sync));

#[expect(unsafe_code, reason = "a pointer to something that may be shared")]
// SAFETY: the function is Sync, and `Pool::run` keeps it until all workers have finished.
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
            let Some(Job(job)) = state.job else { continue };
            drop(state);
            #[expect(unsafe_code, reason = "the lifetime of the job is not known to the compiler")]
            // SAFETY: `Pool::run` does not return before this worker has decremented `running`.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*job)(thread) }));
            let mut state = self.lock();
            state.running -= 1;
            if let Err(panic) = result {
                state.panic.get_or_insert(panic);
            }
            if state.running == 0 {
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

    /// Calls `job` once on each thread, with the thread's number, and waits for all of them.
    pub(crate) fn run(&mut self, job: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() {
            job(0);
            return;
        }
        #[expect(
            unsafe_code,
            reason = "the workers outlive the job, but do not use it after this function"
        )]
        // SAFETY: only the lifetime changes. The pointer is used by workers that have not finished, and this function
        // waits for them, also if its own part panics.
        let pointer = unsafe {
            std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(job)
        };
        let mut state = self.shared.lock();
        state.job = Some(Job(pointer));
        state.running = self.workers.len();
        state.generation += 1;
        self.shared.generation.store(state.generation, Ordering::Release);
        drop(state);
        self.shared.started.notify_all();
        let own = catch_unwind(AssertUnwindSafe(|| job(0)));
        let mut state = self.shared.lock();
        while state.running > 0 {
            state = self.shared.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.job = None;
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
