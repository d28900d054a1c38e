//! Blocks of images, and the threads that compute them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::{random, with_all_instructions};
use crate::pool::Pool;
use crate::{Blend, Convolution, Instructions, Plane, Workspace};

#[test]
fn each_part_is_computed_once_whichever_thread_is_late() {
    let mut pool = Pool::new(3);
    for parts in [0, 1, 2, 3, 100, 5] {
        let calls: Vec<_> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
        pool.run(parts, &|thread, part| {
            assert!(thread < 3, "one of the threads");
            calls[part].fetch_add(1, Ordering::Relaxed);
            if thread == 1 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1), "{parts} parts");
    }
}

#[test]
fn a_panic_in_any_part_reaches_the_caller_after_all_threads_have_finished() {
    let mut pool = Pool::new(3);
    let result = catch_unwind(AssertUnwindSafe(|| {
        pool.run(8, &|_, part| assert!(part != 5, "part five"));
    }));
    assert!(result.is_err(), "the panic is passed on");
    // The pool is usable afterwards.
    let calls = AtomicUsize::new(0);
    pool.run(8, &|_, _| {
        calls.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(calls.into_inner(), 8);
}

#[test]
fn parts_of_a_slice_are_divided_among_all_threads() {
    for (threads, values) in [(1, usize::MAX), (3, usize::MAX), (3, 1)] {
        let mut workspace = Workspace::new(Instructions::Auto, threads);
        for length in [0, 3, 4, 7, 31] {
            let mut slice = vec![usize::MAX; length];
            workspace.for_each_part(values, 4, &mut slice, |part, values, _| {
                assert_eq!(values.len(), 4.min(length - 4 * part));
                values.fill(part);
            });
            assert!(slice.iter().enumerate().all(|(index, part)| *part == index / 4));
        }
    }
}

#[test]
fn blocks_have_their_own_parts_and_the_last_one_may_be_shorter() {
    for threads in [1, 2, 3] {
        let mut workspace = Workspace::new(Instructions::Auto, threads);
        let mut first = vec![0; 4 * 7 + 3];
        let mut second = vec![0; 2 * 7 + 1];
        workspace.for_each_block(
            usize::MAX,
            [4, 2],
            &mut first,
            &mut second,
            |block, first, second, _| {
                assert_eq!(first.len(), if block == 7 { 3 } else { 4 });
                first.fill(block);
                second.fill(block);
            },
        );
        assert!(first.iter().enumerate().all(|(index, block)| *block == index / 4));
        assert!(second.iter().enumerate().all(|(index, block)| *block == index / 2));
    }
}

#[test]
fn sums_over_blocks_are_those_of_the_blocks_in_order() {
    let convolution = Convolution {
        input: Plane { channels: 5, height: 6, width: 6 },
        filters: 7,
        kernel: [3; 2],
        stride: [1; 2],
        padding: [1; 4],
        dilation: [1; 2],
        groups: 1,
    };
    let images = 8;
    let sizes = [convolution.input, convolution.output_plane()].map(|plane| plane.len() * images);
    for blocks in [1, 2, 3, 4, 9] {
        let [x, gradient] = sizes.map(|size| random(blocks as u64, size * blocks));
        let start = random(1, convolution.weights_len());
        let blend = Blend::DecayAndAdd(0.9);
        let gradient_of = |block: usize, out: &mut [f32], blend, workspace: &mut Workspace| {
            let x = &x[block * sizes[0]..][..sizes[0]];
            let gradient = &gradient[block * sizes[1]..][..sizes[1]];
            convolution.weight_gradient(x, gradient, images, out, blend, workspace);
        };
        let sums = with_all_instructions(|workspace| {
            let mut out = start.clone();
            workspace.sum_blocks(usize::MAX, blocks, &mut out, blend, gradient_of);
            out
        });
        let mut expected = start.clone();
        for block in 0..blocks {
            let blend = if block == 0 { blend } else { Blend::Add };
            gradient_of(block, &mut expected, blend, &mut Workspace::default());
        }
        assert_eq!(sums, expected, "{blocks} blocks");
    }
}
