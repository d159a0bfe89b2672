//! Network parameters as one flat vector in a fixed order: initialization from a host stream,
//! gathering of gradients, and the files' view by name.
//!
//! Burn's own initializers and parameter ids use global randomness; here neither has any say in
//! the result, so that the same seed gives the same network.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Gives a network its parameters, in the order of construction.
pub struct Initializer<'a> {
    values: Values,
    device: &'a Device,
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one while a network is made"
)]
enum Values {
    /// Initial weights of a stream of their own.
    Drawn(ChaCha8Rng),
    /// None: shapes alone, for which no memory is taken.
    Outlined,
}

impl<'a> Initializer<'a> {
    /// For a network on `device` whose initial weights are the next numbers of `rng`.
    pub fn drawing(rng: ChaCha8Rng, device: &'a Device) -> Self {
        Self {
            values: Values::Drawn(rng),
            device,
        }
    }

    /// For a network that is only asked for its [`shapes`], whatever its size.
    pub(crate) fn outlining(device: &'a Device) -> Self {
        Self {
            values: Values::Outlined,
            device,
        }
    }

    pub(crate) fn device(&self) -> &'a Device {
        self.device
    }

    /// A `[n_in, n_out]` matrix, uniform within ±`gain` · sqrt(3 / n_in).
    pub(crate) fn matrix(&mut self, n_in: usize, n_out: usize, gain: f64) -> Param<Tensor<2>> {
        let rng = match &mut self.values {
            Values::Drawn(rng) => rng,
            Values::Outlined => return outlined([n_in, n_out], self.device),
        };
        let bound = gain * (3.0 / n_in.max(1) as f64).sqrt();
        let values: Vec<f32> = (0..n_in * n_out)
            .map(|_| ((rng.random::<f64>() * 2.0 - 1.0) * bound) as f32)
            .collect();
        Param::from_tensor(tensor(values, [n_in, n_out], self.device))
    }

    pub(crate) fn vector(&mut self, n: usize, value: impl Fn(usize) -> f32) -> Param<Tensor<1>> {
        match self.values {
            Values::Drawn(_) => {
                Param::from_tensor(vector((0..n).map(value).collect(), self.device))
            }
            Values::Outlined => outlined([n], self.device),
        }
    }

    pub(crate) fn zeros(&mut self, n: usize) -> Param<Tensor<1>> {
        self.vector(n, |_| 0.0)
    }

    /// A vector that is `value` of a matrix `[n_in, n]`, which is `weight`'s: `[n]`
    pub(crate) fn of_matrix(
        &mut self,
        weight: &Param<Tensor<2>>,
        n: usize,
        value: impl Fn(Tensor<2>) -> Tensor<1>,
    ) -> Param<Tensor<1>> {
        match self.values {
            Values::Drawn(_) => {
                let values = host(value(weight.val()));
                self.vector(n, |i| values[i])
            }
            Values::Outlined => outlined([n], self.device),
        }
    }

    /// Ones where `is_open(row, column)`, zeros elsewhere; no parameter.
    pub(crate) fn mask(
        &self,
        [rows, columns]: [usize; 2],
        is_open: impl Fn(usize, usize) -> bool,
    ) -> Tensor<2> {
        match self.values {
            Values::Drawn(_) => {
                let value = |i| f32::from(is_open(i / columns, i % columns));
                let values = (0..rows * columns).map(value).collect();
                tensor(values, [rows, columns], self.device)
            }
            Values::Outlined => Tensor::zeros([1, 1], self.device),
        }
    }
}

fn outlined<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::uninitialized(
        ParamId::new(),
        move |device, _| Tensor::zeros(shape, device),
        device.clone(),
        false,
        shape.into(),
    )
}

/// One named tensor of a network, for its files.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Where it stands in the network, as `flow.Nsf.blocks.0.made.input.weight`.
    pub name: String,
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// All tensors of a network by name, in visiting order, running statistics included.
pub fn named_tensors<M: Module>(module: &M) -> Vec<NamedTensor> {
    // One at a time they would each wait for a GPU.
    let values = host(joined(module));
    let mut rest = values.as_slice();
    let named = |(name, shape): (String, Vec<usize>)| {
        let n = shape.iter().product::<usize>().min(rest.len());
        let (own, others) = rest.split_at(n);
        rest = others;
        NamedTensor {
            name,
            shape,
            values: own.to_vec(),
        }
    };
    shapes(module).into_iter().map(named).collect()
}

/// The shapes of all tensors of a network by name, in visiting order, running statistics included; of one that is only
/// outlined too.
pub(crate) fn shapes<M: Module>(module: &M) -> Vec<(String, Vec<usize>)> {
    #[derive(Default)]
    struct Reader {
        path: Vec<String>,
        shapes: Vec<(String, Vec<usize>)>,
    }
    impl ModuleVisitor for Reader {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.shapes
                .push((self.path.join("."), param.lazy_shape().to_vec()));
        }
    }
    let mut reader = Reader::default();
    module.visit(&mut reader);
    reader.shapes
}

/// A stored network that does not fit the one that it is read into, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ParameterError(String);

/// The network with the values of `tensors`, which must be exactly its own by name and shape.
pub fn with_named_tensors<M: Module>(
    module: M,
    tensors: &[NamedTensor],
) -> Result<M, ParameterError> {
    check_named_tensors(&module, tensors)?;
    struct Writer<'a> {
        tensors: std::slice::Iter<'a, NamedTensor>,
    }
    impl ModuleMapper for Writer<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.tensors.next() {
                Some(own) => replace(param, |old| {
                    tensor(own.values.clone(), old.dims(), &old.device())
                }),
                None => param,
            }
        }
    }
    Ok(module.map(&mut Writer {
        tensors: tensors.iter(),
    }))
}

/// Whether `tensors` are exactly those of the network by name and shape, with finite values.
pub(crate) fn check_named_tensors<M: Module>(
    module: &M,
    tensors: &[NamedTensor],
) -> Result<(), ParameterError> {
    let own = shapes(module);
    for ((expected, expected_shape), found) in own.iter().zip(tensors) {
        if *expected != found.name || *expected_shape != found.shape {
            return Err(ParameterError(format!(
                "tensor `{}` of shape {:?} stands where `{expected}` of shape {expected_shape:?} is expected",
                found.name, found.shape
            )));
        }
        if !found.values.iter().all(|value| value.is_finite()) {
            return Err(ParameterError(format!(
                "tensor `{}` holds a value that is not finite",
                found.name
            )));
        }
    }
    if own.len() != tensors.len() {
        return Err(ParameterError(format!(
            "{} tensors, expected {}",
            tensors.len(),
            own.len()
        )));
    }
    Ok(())
}

/// All trainable parameters, end to end: `[n]`, outside the autodiff graph.
pub fn flat<M: Module>(module: &M) -> Tensor<1> {
    gather(module, Gathered::Trainable)
}

/// All parameters, end to end, so that gradients flow back to each: `[n_values]`. In the order of [`flat`], but running
/// statistics would be among them: for networks without.
fn joined<M: Module>(module: &M) -> Tensor<1> {
    gather(module, Gathered::All)
}

/// What stands in place of the parameters, or those [`joined`].
pub(crate) fn joined_or<M: Module>(instead: &Option<Tensor<1>>, module: &M) -> Tensor<1> {
    instead.clone().unwrap_or_else(|| joined(module))
}

/// The gradients of all trainable parameters in the order of [`flat`]; zero where none flowed.
pub fn flat_gradients<M: Module>(module: &M, gradients: &mut Gradients) -> Tensor<1> {
    gather(module, Gathered::GradientsOfTrainable(gradients))
}

enum Gathered<'a> {
    All,
    Trainable,
    GradientsOfTrainable(&'a mut Gradients),
}

/// Parts of all parameters, end to end in visiting order.
fn gather<M: Module>(module: &M, what: Gathered) -> Tensor<1> {
    struct Gather<'a> {
        what: Gathered<'a>,
        parts: Vec<Tensor<1>>,
    }
    impl ModuleVisitor for Gather<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let n = value.dims().iter().product::<usize>();
            let part = match &mut self.what {
                Gathered::All => value,
                Gathered::Trainable | Gathered::GradientsOfTrainable(_) if !is_trainable(param) => {
                    return;
                }
                Gathered::Trainable => value.inner(),
                Gathered::GradientsOfTrainable(gradients) => match value.grad_remove(gradients) {
                    Some(gradient) => gradient,
                    None => Tensor::zeros(value.dims(), &value.device().inner()),
                },
            };
            self.parts.push(part.reshape([n]));
        }
    }
    let parts = Vec::new();
    let mut gather = Gather { what, parts };
    module.visit(&mut gather);
    Tensor::cat(gather.parts, 0)
}

/// How many numbers all parameters hold, running statistics included.
pub(crate) fn n_values<M: Module>(module: &M) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 += param.dims().iter().product::<usize>();
        }
    }
    let mut count = Count(0);
    module.visit(&mut count);
    count.0
}

/// The network with `values` (as [`flat`] orders them) as its trainable parameters.
pub fn with_flat<M: Module>(module: M, values: &Tensor<1>) -> M {
    struct Scatter<'a> {
        values: &'a Tensor<1>,
        offset: usize,
    }
    impl ModuleMapper for Scatter<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if !is_trainable(&param) {
                return param;
            }
            replace(param, |old| {
                let shape = old.dims();
                let n = shape.iter().product::<usize>();
                let part = self.values.clone().narrow(0, self.offset, n).reshape(shape);
                self.offset += n;
                if old.is_autodiff() {
                    Tensor::from_inner(part)
                } else {
                    part
                }
            })
        }
    }
    module.map(&mut Scatter { values, offset: 0 })
}

/// A tensor of row-major values.
pub(crate) fn tensor<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A tensor of all `values`, end to end.
pub(crate) fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let n = values.len();
    tensor(values, [n], device)
}

/// The tensor's values on the host, row-major.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap_or_default()
}

/// Running statistics take no gradients; weights on an autodiff device do.
fn is_trainable<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    param.val().is_require_grad()
}

fn replace<const D: usize>(
    param: Param<Tensor<D>>,
    value: impl FnOnce(&Tensor<D>) -> Tensor<D>,
) -> Param<Tensor<D>> {
    let trainable = is_trainable(&param);
    param.map(|old| {
        let new = value(&old);
        if old.is_autodiff() && trainable {
            new.require_grad()
        } else {
            new
        }
    })
}
