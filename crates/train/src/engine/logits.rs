use burn::tensor::{Tensor, Transaction};

/// The logits of a training step, `[n, classes]`.
pub(crate) enum Logits {
    /// On the host.
    Host(Vec<f32>),
    /// On the device, which may not have computed them yet. The tensor is not recorded for autodiff.
    Device(Box<Tensor<2>>),
}

impl Logits {
    /// Copies the logits of several steps of an engine to the host. Waits for the device once.
    pub(crate) fn read_all(steps: impl IntoIterator<Item = Self>) -> Vec<Vec<f32>> {
        let mut transaction = Transaction::default();
        let (mut read, mut is_on_device) = (Vec::new(), false);
        for logits in steps {
            match logits {
                Self::Host(logits) => read.push(logits),
                Self::Device(logits) => {
                    transaction = transaction.register(*logits);
                    is_on_device = true;
                }
            }
        }
        // An engine has all logits in the same place.
        if is_on_device {
            read.extend(transaction.execute().into_iter().map(|data| data.iter().collect()));
        }
        read
    }

    /// Copies the logits to the host. Waits for the device.
    pub(crate) fn read(self) -> Vec<f32> {
        match self {
            Self::Host(logits) => logits,
            Self::Device(logits) => logits.into_data().iter().collect(),
        }
    }
}
