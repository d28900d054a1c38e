//! Buffers that are reused from call to call.

use std::marker::PhantomData;
use std::ops::Range;

use crate::instructions::vectorize;
use crate::moments::LANES;
use crate::pool::Pool;
use crate::tile::TapList;
use crate::{Blend, Instructions};

/// The instructions and threads that kernels use, and their buffers. The buffers grow in the first step and are then
/// reused, so that no step allocates.
pub struct Workspace {
    pub(crate) instructions: Instructions,
    pool: Pool,
    /// The packed right factor of a matrix product, the transformed weights of a convolution, or the sums of its weight
    /// gradient by minimal filtering.
    pub(crate) panels: Vec<f32>,
    /// The sums of blocks of images.
    block_sums: Vec<f32>,
    convolution: ConvolutionBuffers,
    /// For each thread, if there are several: a workspace without threads.
    thread_workspaces: Vec<Self>,
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
        let thread_workspaces = match pool.threads() {
            1 => Vec::new(),
            count => (0..count).map(|_| Self::new(instructions, 1)).collect(),
        };
        Self {
            instructions,
            pool,
            panels: Vec::new(),
            block_sums: Vec::new(),
            convolution: ConvolutionBuffers::default(),
            thread_workspaces,
        }
    }

    /// The vector instructions of the kernels.
    #[must_use]
    pub const fn instructions(&self) -> Instructions {
        self.instructions
    }

    /// Splits channels into `parts`, which the threads compute. Each part calls `job` with its channels, with their parts of
    /// two slices, whose lengths are multiples of the number of channels, and with the buffers of its thread.
    pub(crate) fn split<A: Send, B: Send>(
        &mut self,
        parts: usize,
        channels: usize,
        first: &mut [A],
        second: &mut [B],
        job: impl Fn(Range<usize>, &mut [A], &mut [B], &mut ConvolutionBuffers) + Sync,
    ) {
        if channels == 0 {
            return;
        }
        assert_whole(channels, first.len(), second.len());
        let parts = parts.clamp(1, channels);
        if self.thread_workspaces.is_empty() || parts == 1 {
            job(0..channels, first, second, &mut self.convolution);
            return;
        }
        let sizes = [first.len() / channels, second.len() / channels];
        let (first, second) = (Shards::new(first), Shards::new(second));
        let workspaces = Shards::new(&mut self.thread_workspaces);
        self.pool.run(parts, &|thread, index| {
            let part = channels * index / parts..channels * (index + 1) / parts;
            let values = |size: usize| part.start * size..part.end * size;
            #[expect(
                unsafe_code,
                reason = "each part has channels, each thread buffers of its own"
            )]
            // SAFETY: the threads have different numbers, and the ranges of the parts do not overlap.
            let (first, second, workspace) = unsafe {
                (
                    first.get(values(sizes[0])),
                    second.get(values(sizes[1])),
                    &mut workspaces.get(thread..thread + 1)[0],
                )
            };
            job(part, first, second, &mut workspace.convolution);
        });
    }

    /// The threads that a kernel with so many products can use. More would take longer to wake than they compute.
    #[must_use]
    pub const fn useful_threads(products: usize) -> usize {
        let threads = products / PRODUCTS_PER_THREAD;
        if threads == 0 { 1 } else { threads }
    }

    /// The parts of a kernel that computes so many products: one for each thread that is useful.
    pub(crate) fn parts(&self, products: usize) -> usize {
        Self::useful_threads(products).min(self.pool.threads())
    }

    /// The rows of a matrix that each part of its computation has: a multiple of `multiple`, or all rows if there is a single
    /// part. A row has so many products.
    pub(crate) fn part_rows(&self, rows: usize, products: usize, multiple: usize) -> usize {
        match self.parts(rows.saturating_mul(products)) {
            1 => rows,
            parts => rows.div_ceil(PARTS * parts).next_multiple_of(multiple).min(rows),
        }
    }

    /// Splits units of work among the threads. Each part calls `job` with its units and the buffers of its thread. There are
    /// several parts per thread, so that a slow thread delays the others less.
    pub(crate) fn split_units(
        &mut self,
        products: usize,
        units: usize,
        job: impl Fn(Range<usize>, &mut ConvolutionBuffers) + Sync,
    ) {
        let parts = (products / PRODUCTS_PER_THREAD).min(PARTS * self.pool.threads());
        self.split(parts, units, none(), none(), |units, _, _, buffers| job(units, buffers));
    }

    /// Calls `job` for each block of images, with its number, its parts of two slices, and a workspace. A block has `sizes`
    /// values of the slices, the last one may have fewer. All blocks together pass over `values` values.
    ///
    /// Each thread computes complete blocks, so no rows are copied twice. Blocks that remain after an equal number per thread
    /// run one after the other, with a workspace that has all threads.
    pub fn for_each_block<A: Send, B: Send>(
        &mut self,
        values: usize,
        sizes: [usize; 2],
        first: &mut [A],
        second: &mut [B],
        job: impl Fn(usize, &mut [A], &mut [B], &mut Self) + Sync,
    ) {
        let blocks = first.len().div_ceil(sizes[0].max(1));
        let lengths = [first.len(), second.len()];
        let part = |block: usize, index: usize| {
            let start = block.saturating_mul(sizes[index]).min(lengths[index]);
            start..start.saturating_add(sizes[index]).min(lengths[index])
        };
        let shared = self.shared_blocks(values, blocks);
        let workspaces = Shards::new(&mut self.thread_workspaces);
        let (first_shards, second_shards) = (Shards::new(first), Shards::new(second));
        self.pool.run(shared, &|thread, block| {
            #[expect(
                unsafe_code,
                reason = "each block has values, each thread a workspace of its own"
            )]
            // SAFETY: the threads have different numbers, and the ranges of the blocks do not overlap.
            let (first, second, workspace) = unsafe {
                (
                    first_shards.get(part(block, 0)),
                    second_shards.get(part(block, 1)),
                    &mut workspaces.get(thread..thread + 1)[0],
                )
            };
            job(block, first, second, workspace);
        });
        for block in shared..blocks {
            job(block, &mut first[part(block, 0)], &mut second[part(block, 1)], self);
        }
    }

    /// Divides parts of a slice among the threads, for a pass over `values` values unless they are too few. A part has `size`
    /// values, the last one may have fewer. `job` gets the number of the part, its values, and the workspace of its thread.
    pub fn for_each_part<T: Send>(
        &mut self,
        values: usize,
        size: usize,
        slice: &mut [T],
        job: impl Fn(usize, &mut [T], &mut Self) + Sync,
    ) {
        let size = size.max(1);
        let parts = slice.len().div_ceil(size);
        if self.thread_workspaces.is_empty() || values < 2 * VALUES_PER_THREAD || parts < 2 {
            for (part, values) in slice.chunks_mut(size).enumerate() {
                job(part, values, self);
            }
            return;
        }
        let length = slice.len();
        let (slice, workspaces) = (Shards::new(slice), Shards::new(&mut self.thread_workspaces));
        self.pool.run(parts, &|thread, part| {
            let values = part * size..length.min((part + 1) * size);
            #[expect(unsafe_code, reason = "the parts are different, each thread has a workspace")]
            // SAFETY: the threads have different numbers, and the ranges of the parts do not overlap.
            let (values, workspace) =
                unsafe { (slice.get(values), &mut workspaces.get(thread..thread + 1)[0]) };
            job(part, values, workspace);
        });
    }

    /// The number of blocks that single threads compute: equally many for each thread, or 0 if the pass is too small.
    fn shared_blocks(&self, values: usize, blocks: usize) -> usize {
        let threads = self.pool.threads();
        if threads == 1 || values < 2 * VALUES_PER_THREAD { 0 } else { blocks / threads * threads }
    }

    /// Blends the sum over blocks of images into `out`. `job` blends the values of a block, and all blocks together pass over
    /// `values` values. They are added in the order of the blocks, whatever the number of threads.
    pub fn sum_blocks(
        &mut self,
        values: usize,
        blocks: usize,
        out: &mut [f32],
        blend: Blend,
        job: impl Fn(usize, &mut [f32], Blend, &mut Self) + Sync,
    ) {
        let blends = |block| if block == 0 { blend } else { Blend::Add };
        let threads = self.pool.threads();
        let shared = self.shared_blocks(values, blocks);
        let mut sums = std::mem::take(&mut self.block_sums);
        // A few blocks at a time, which bounds the memory.
        for start in (0..shared).step_by(2 * threads) {
            let count = (shared - start).min(2 * threads);
            if sums.len() < count * out.len() {
                sums.resize(count * out.len(), 0.0);
            }
            let sums = &mut sums[..count * out.len()];
            let sizes = [out.len(), 0];
            self.for_each_block(usize::MAX, sizes, sums, none(), |block, sums, _, workspace| {
                job(start + block, sums, Blend::Replace, workspace);
            });
            for (block, sums) in sums.chunks_exact(out.len().max(1)).enumerate() {
                let blend = blends(start + block);
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = blend.apply(*out, *sum);
                }
            }
        }
        self.block_sums = sums;
        for block in shared..blocks {
            job(block, out, blends(block), self);
        }
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
        assert_whole(channels, first.len(), second.len());
        let instructions = self.instructions;
        let parts = (values / VALUES_PER_THREAD).min(PARTS * self.pool.threads());
        if parts < 2 || self.thread_workspaces.is_empty() {
            vectorize(
                instructions,
                #[inline(always)]
                || loops(0..channels, first, second),
            );
        } else {
            self.split(parts, channels, first, second, |channels, first, second, _| {
                vectorize(
                    instructions,
                    #[inline(always)]
                    || loops(channels, first, second),
                );
            });
        }
    }
}

/// Panics unless each channel has equally many values of both slices.
fn assert_whole(channels: usize, first: usize, second: usize) {
    let whole = first.is_multiple_of(channels) && second.is_multiple_of(channels);
    assert!(whole, "as many values for each channel");
}

/// No second slice.
pub(crate) const fn none() -> &'static mut [()] {
    &mut []
}

/// A pass over this many values takes about as long as waking a thread. A part has at least as many.
const VALUES_PER_THREAD: usize = 1 << 15;

/// Computing this many products takes about as long as waking a thread.
const PRODUCTS_PER_THREAD: usize = 1 << 20;

/// Parts per thread of kernels that compute nothing twice because of them.
const PARTS: usize = 4;

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

    /// The first element, for writes whose bounds the caller has checked. The condition of [`get`](Self::get) applies.
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
    /// Packed weights or the sums of their gradients. In the weight gradient by minimal filtering: rows of the output
    /// gradient.
    pub(crate) weights: Vec<f32>,
    /// Rearranged rows of the source, or transformed tiles.
    pub(crate) rows: Vec<f32>,
    /// The row of the source that each slot of `rows` has.
    pub(crate) resident: Vec<usize>,
    /// The pairs of a kernel column and a source column, for each target column.
    pub(crate) pairs: Vec<(u32, u32)>,
    /// Where the pairs of each target column start in `pairs`.
    pub(crate) pair_starts: Vec<usize>,
    pub(crate) taps: TapList,
    /// The weights of a row of a depthwise convolution, and where their sources are.
    pub(crate) products: Vec<(f32, usize)>,
    pub(crate) lane_sums: Vec<[f64; LANES]>,
    /// The transformed output gradient of some tiles.
    pub(crate) gradient_panels: Vec<f32>,
    /// The transformed rows of some tiles, or zeros for the rows outside the input.
    pub(crate) stage: Vec<f32>,
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

/// The smallest odd number of cache lines that holds this many floats, in floats. Parts at this distance are spread over all
/// sets of a cache.
pub(crate) const fn spread(values: usize) -> usize {
    values.next_multiple_of(LINE) | LINE
}
