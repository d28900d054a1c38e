//! Buffers that are reused from call to call.

use std::marker::PhantomData;
use std::ops::Range;

use crate::Instructions;
use crate::instructions::vectorize;
use crate::moments::LANES;
use crate::pool::Pool;
use crate::tile::TapList;

/// The instructions and threads that kernels use, and their buffers. The buffers grow in the first step and are then
/// reused, so that no step allocates.
pub struct Workspace {
    pub(crate) instructions: Instructions,
    pool: Pool,
    /// The right factor of a matrix product in panels, or the transformed weights of a convolution.
    pub(crate) panels: Vec<f32>,
    /// For each thread.
    convolution: Vec<ConvolutionBuffers>,
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new(Instructions::Auto, 1)
    }
}

impl Workspace {
    /// A workspace for these instructions and threads. Neither changes the results.
    #[must_use]
    pub fn new(instructions: Instructions, threads: usize) -> Self {
        let pool = Pool::new(threads);
        let convolution = (0..pool.threads()).map(|_| ConvolutionBuffers::default()).collect();
        Self { instructions, pool, panels: Vec::new(), convolution }
    }

    /// The vector instructions of the kernels.
    #[must_use]
    pub const fn instructions(&self) -> Instructions {
        self.instructions
    }

    /// Splits channels among the threads. Each one calls `job` with its channels, with their parts of two slices, whose
    /// lengths are multiples of the number of channels, and with its buffers.
    pub(crate) fn split<A: Send, B: Send>(
        &mut self,
        channels: usize,
        first: &mut [A],
        second: &mut [B],
        job: impl Fn(Range<usize>, &mut [A], &mut [B], &mut ConvolutionBuffers) + Sync,
    ) {
        if channels == 0 {
            return;
        }
        let whole = first.len().is_multiple_of(channels) && second.len().is_multiple_of(channels);
        assert!(whole, "as many values for each channel");
        let threads = self.pool.threads();
        let sizes = [first.len() / channels, second.len() / channels];
        let (first, second) = (Shards::new(first), Shards::new(second));
        let buffers = Shards::new(&mut self.convolution);
        self.pool.run(&|thread| {
            let part = channels * thread / threads..channels * (thread + 1) / threads;
            if part.is_empty() {
                return;
            }
            let values = |size: usize| part.start * size..part.end * size;
            #[expect(unsafe_code, reason = "each thread has channels and buffers of its own")]
            // SAFETY: the threads have different numbers, and the ranges of their channels do not overlap.
            let (first, second, buffers) = unsafe {
                (
                    first.get(values(sizes[0])),
                    second.get(values(sizes[1])),
                    &mut buffers.get(thread..thread + 1)[0],
                )
            };
            job(part, first, second, buffers);
        });
    }

    /// Splits units of work among the threads. Each one calls `job` with its units and its buffers.
    pub(crate) fn share(
        &mut self,
        units: usize,
        job: impl Fn(Range<usize>, &mut ConvolutionBuffers) + Sync,
    ) {
        self.split(units, none(), none(), |units, _, _, buffers| job(units, buffers));
    }

    /// Splits channels among the threads, for loops that pass over `values` values, unless they are too few. Each thread calls
    /// `loops` with its channels and with its parts of two slices, whose lengths are multiples of the number of channels.
    /// `loops` must be `#[inline(always)]`, because only then it is compiled for the vector instructions.
    ///
    /// # Panics
    ///
    /// The length of a slice is not a multiple of the number of channels.
    pub fn split_loops<A: Send, B: Send>(
        &mut self,
        values: usize,
        channels: usize,
        first: &mut [A],
        second: &mut [B],
        loops: impl Fn(Range<usize>, &mut [A], &mut [B]) + Sync,
    ) {
        let instructions = self.instructions;
        if values < VALUES_PER_THREAD {
            vectorize(
                instructions,
                #[inline(always)]
                || loops(0..channels, first, second),
            );
        } else {
            self.split(channels, first, second, |channels, first, second, _| {
                vectorize(
                    instructions,
                    #[inline(always)]
                    || loops(channels, first, second),
                );
            });
        }
    }
}

/// No second slice.
pub(crate) const fn none() -> &'static mut [()] {
    &mut []
}

/// A pass over that many values takes about as long as waking a thread.
const VALUES_PER_THREAD: usize = 1 << 15;

/// A slice of which several threads change different parts.
pub(crate) struct Shards<'a, T> {
    start: *mut T,
    length: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

#[expect(unsafe_code, reason = "the compiler cannot know that the parts are different")]
// SAFETY: `get` demands that the parts are different, so that a thread has its part alone.
unsafe impl<T: Send> Sync for Shards<'_, T> {}

impl<'a, T> Shards<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), borrowed: PhantomData }
    }

    pub(crate) const fn start(&self) -> *mut T {
        self.start
    }

    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// A part of the slice.
    ///
    /// # Safety
    ///
    /// No two parts that are used at the same time overlap.
    #[expect(unsafe_code, reason = "see the type")]
    #[expect(clippy::mut_from_ref, reason = "see the type")]
    #[inline(always)]
    pub(crate) unsafe fn get(&self, part: Range<usize>) -> &mut [T] {
        assert!(part.start <= part.end && part.end <= self.length, "within the slice");
        // SAFETY: the part is within the slice, and the caller guarantees that nothing else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(part.start), part.len()) }
    }
}

/// The buffers of a convolution.
#[derive(Default)]
pub(crate) struct ConvolutionBuffers {
    /// The weights, or the sums of their gradients, in the order of the computation.
    pub(crate) weights: Vec<f32>,
    /// Rearranged rows of the input or of the gradient.
    pub(crate) rows: Vec<f32>,
    /// The row of the source that each slot of `rows` has.
    pub(crate) resident: Vec<usize>,
    /// The pairs of a kernel column and a source column, for each target column.
    pub(crate) columns: Vec<(u32, u32)>,
    /// Where the pairs of each target column start in `columns`.
    pub(crate) column_starts: Vec<usize>,
    pub(crate) taps: TapList,
    /// The weights of a row of a depthwise convolution, and where their sources are.
    pub(crate) products: Vec<(f32, usize)>,
    pub(crate) lane_sums: Vec<[f64; LANES]>,
    /// The sums of transformed tiles.
    pub(crate) sums: Vec<f32>,
}

/// Floats per cache line.
pub(crate) const LINE: usize = 16;

/// The first `length` floats of a buffer from a cache line on. Their values are arbitrary.
pub(crate) fn aligned(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length + LINE {
        buffer.resize(length + LINE, 0.0);
    }
    let start = buffer.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    &mut buffer[start..start + length]
}
