use std::ops::Index;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::plan::PlannedRun;

/// The runs of a plan. Runs can be added while others read the list: no run moves or changes, and their indices stay
/// valid.
#[derive(Debug)]
pub struct Runs {
    /// The first `len` slots are filled.
    slots: Box<[OnceLock<Box<PlannedRun>>]>,
    len: AtomicUsize,
}

type Slot = OnceLock<Box<PlannedRun>>;

impl Runs {
    /// These runs, with room for `more`.
    pub(crate) fn new(runs: Vec<PlannedRun>, more: usize) -> Self {
        let len = runs.len();
        let filled = runs.into_iter().map(|run| OnceLock::from(Box::new(run)));
        let slots = filled.chain(std::iter::repeat_with(OnceLock::new).take(more)).collect();
        Self { slots, len: AtomicUsize::new(len) }
    }

    /// Adds a run and returns its index; `None` if there is no room. Only one thread may add runs at a time.
    pub(crate) fn push(&self, run: PlannedRun) -> Option<usize> {
        let index = self.len();
        self.slots.get(index)?.set(Box::new(run)).ok()?;
        self.len.store(index + 1, Ordering::Release);
        Some(index)
    }

    /// The number of runs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Whether there are no runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first run.
    #[must_use]
    pub fn first(&self) -> Option<&PlannedRun> {
        self.iter().next()
    }

    /// The runs that there are now.
    pub fn iter(&self) -> <&Self as IntoIterator>::IntoIter {
        self.into_iter()
    }
}

impl<'a> IntoIterator for &'a Runs {
    type Item = &'a PlannedRun;
    type IntoIter =
        std::iter::FilterMap<std::slice::Iter<'a, Slot>, fn(&'a Slot) -> Option<&'a PlannedRun>>;

    fn into_iter(self) -> Self::IntoIter {
        let run: fn(&'a Slot) -> Option<&'a PlannedRun> = |slot| slot.get().map(AsRef::as_ref);
        self.slots[..self.len()].iter().filter_map(run)
    }
}

/// # Panics
///
/// There is no run with this index.
impl Index<usize> for Runs {
    type Output = PlannedRun;

    fn index(&self, index: usize) -> &PlannedRun {
        self.slots[index].get().expect("a run of the plan")
    }
}
