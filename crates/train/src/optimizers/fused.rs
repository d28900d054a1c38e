//! Updates in place, for the fused engine. The order of operations is that of the generic engine's optimizers, so that
//! both engines compute the same numbers except for rounding.

use pulp::Arch;

/// The values besides the parameter that an update depends on.
#[derive(Clone, Copy)]
pub(crate) struct UpdateStep {
    /// η of this step, as the schedule sets it.
    pub(crate) learning_rate: f64,
    /// t, counted from 1.
    pub(crate) number: i32,
}

/// A part of a parameter in an update: slices of one length.
pub(crate) struct FusedParameter<'a> {
    pub(crate) values: &'a mut [f32],
    /// The update may overwrite the gradient, which is not read again.
    pub(crate) gradient: &'a mut [f32],
    /// One for each name in [`UpdateRule::slots`](super::UpdateRule::slots), in that order.
    pub(crate) slots: Vec<&'a mut [f32]>,
}

/// An optimizer's update on the CPU.
pub(crate) trait FusedUpdate: Sync {
    /// Changes a part of a parameter and of its slots by one step. Each value depends only on its own gradient and slots, so
    /// threads can divide a parameter in any way.
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>);

    /// λ of the weight decay if the update is w ← (1 − η λ) w − η g. The engine can then subtract the
    /// gradient from the weights while it computes it, and stores no gradient.
    fn plain_descent(&self) -> Option<f64> {
        None
    }
}

/// The slots of a rule that has `N` of them.
pub(super) fn slots<const N: usize>(slots: Vec<&mut [f32]>) -> [&mut [f32]; N] {
    slots.try_into().expect("the engine makes a slot for each name of the rule")
}

// Each helper compiles its loop for every set of vector instructions and for every function that it is
// called with. None of them reorders or contracts operations: the results are the same with all sets.
//
// The compiler makes vector instructions of a loop only if it knows that its slices do not overlap, and that
// the function's constants do not change. The first is why the loop is a function with slices as arguments,
// the second why the closure takes them by `move`. The benchmark `step` shows when one of these fails.

/// Replaces each value with a function of it and of the value at the same index of `others`.
pub(super) fn zip(values: &mut [f32], others: &[f32], function: impl Fn(f32, f32) -> f32) {
    #[inline(always)]
    fn pass(values: &mut [f32], others: &[f32], function: impl Fn(f32, f32) -> f32) {
        for (value, other) in values.iter_mut().zip(others) {
            *value = function(*value, *other);
        }
    }
    Arch::new().dispatch(
        #[inline(always)]
        move || pass(values, others, function),
    );
}

/// Like [`zip`], with two other slices.
pub(super) fn zip_two(
    values: &mut [f32],
    [first, second]: [&[f32]; 2],
    function: impl Fn(f32, f32, f32) -> f32,
) {
    #[inline(always)]
    fn pass(
        values: &mut [f32],
        first: &[f32],
        second: &[f32],
        function: impl Fn(f32, f32, f32) -> f32,
    ) {
        for ((value, first), second) in values.iter_mut().zip(first).zip(second) {
            *value = function(*value, *first, *second);
        }
    }
    Arch::new().dispatch(
        #[inline(always)]
        move || pass(values, first, second, function),
    );
}

/// Updates one slot and the values in one pass. `function` takes w, g and the slot's number and gives
/// the new w and the new number.
pub(super) fn update_with_slot(
    values: &mut [f32],
    gradient: &[f32],
    slot: &mut [f32],
    function: impl Fn(f32, f32, f32) -> (f32, f32),
) {
    #[inline(always)]
    fn pass(
        values: &mut [f32],
        gradient: &[f32],
        slot: &mut [f32],
        function: impl Fn(f32, f32, f32) -> (f32, f32),
    ) {
        for ((w, g), s) in values.iter_mut().zip(gradient).zip(slot) {
            (*w, *s) = function(*w, *g, *s);
        }
    }
    Arch::new().dispatch(
        #[inline(always)]
        move || pass(values, gradient, slot, function),
    );
}

/// Updates the running means m and v of Adam and its variants, and the values in the same pass.
/// `function` takes w, g and the new m and v, and gives the new w.
pub(super) fn update_with_moments(
    parameter: FusedParameter<'_>,
    betas: [f32; 2],
    function: impl Fn(f32, f32, f32, f32) -> f32,
) {
    #[inline(always)]
    fn pass(
        values: &mut [f32],
        gradient: &[f32],
        mean: &mut [f32],
        square: &mut [f32],
        [beta_1, beta_2]: [f32; 2],
        function: impl Fn(f32, f32, f32, f32) -> f32,
    ) {
        let moments = mean.iter_mut().zip(square);
        for ((w, g), (m, v)) in values.iter_mut().zip(gradient).zip(moments) {
            *m = *m * beta_1 + g * (1.0 - beta_1);
            *v = *v * beta_2 + g * g * (1.0 - beta_2);
            *w = function(*w, *g, *m, *v);
        }
    }
    let FusedParameter { values, gradient, slots: own_slots } = parameter;
    let [mean, square] = slots(own_slots);
    Arch::new().dispatch(
        #[inline(always)]
        move || pass(values, gradient, mean, square, betas, function),
    );
}
