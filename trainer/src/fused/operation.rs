//! Operations with gradients written by hand, as nodes of burn's autodiff graph on the CPU.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex};
use burn::tensor::{DType, Tensor, TensorData};
use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::sync::Arc;

type Plain = FloatTensor<Flex>;
type Tracked = FloatTensor<Autodiff<Flex>>;

/// A function of `N` tensors, given as row-major slices, and its gradient.
pub trait Operation<const N: usize>: Debug + Send + Sync + 'static {
    /// What the gradient needs beside the inputs.
    type Saved: Debug + Send + Sync + 'static;

    fn forward(&self, inputs: [&[f32]; N]) -> (Vec<f32>, Self::Saved);

    /// The gradients of the inputs that are wanted, from that of the output.
    fn backward(
        &self,
        inputs: [&[f32]; N],
        saved: &Self::Saved,
        d_output: &[f32],
        wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N];
}

/// A tensor of 32-bit numbers on the CPU.
#[derive(Clone, Debug)]
pub enum CpuTensor {
    Plain(Plain),
    Tracked(Tracked),
}

impl CpuTensor {
    /// None for tensors of other devices or types.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Option<Self> {
        if crate::device::is_wgpu(&tensor.device()) || tensor.dtype() != DType::F32 {
            return None;
        }
        if tensor.is_autodiff() {
            let tracked = tensor.clone().try_into_primitive::<Autodiff<Flex>>();
            tracked.ok().map(Self::Tracked)
        } else {
            let plain = tensor.clone().try_into_primitive::<Flex>();
            plain.ok().map(Self::Plain)
        }
    }

    pub fn into_tensor<const D: usize>(self) -> Tensor<D> {
        match self {
            Self::Plain(tensor) => Tensor::from_primitive::<Flex>(tensor),
            Self::Tracked(tensor) => Tensor::from_primitive::<Autodiff<Flex>>(tensor),
        }
    }

    /// The values, row-major.
    pub fn values(&self) -> Vec<f32> {
        match self {
            Self::Plain(tensor) => slice(&tensor.to_contiguous()).to_vec(),
            Self::Tracked(tensor) => slice(&tensor.primitive().to_contiguous()).to_vec(),
        }
    }

    fn into_tracked(self) -> Tracked {
        match self {
            Self::Plain(tensor) => <Autodiff<Flex> as AutodiffBackend>::from_inner(tensor),
            Self::Tracked(tensor) => tensor,
        }
    }
}

/// The operation's output, of the given shape, with its gradient where an input has one.
pub fn apply<const N: usize, O: Operation<N>>(
    operation: O,
    inputs: [CpuTensor; N],
    shape: &[usize],
) -> CpuTensor {
    let is_tracked = |input: &CpuTensor| match input {
        CpuTensor::Plain(_) => false,
        CpuTensor::Tracked(_) => true,
    };
    if !inputs.iter().any(is_tracked) {
        let inputs = inputs.map(|input| match input {
            CpuTensor::Plain(tensor) => tensor.to_contiguous(),
            CpuTensor::Tracked(tensor) => tensor.into_primitive(),
        });
        let (output, _) = operation.forward(inputs.each_ref().map(slice));
        return CpuTensor::Plain(tensor(output, shape));
    }
    let mut nodes = Vec::with_capacity(N);
    let inputs = inputs.map(|input| {
        let (primitive, node) = input.into_tracked().into_parts();
        nodes.push(node);
        primitive.to_contiguous()
    });
    let (output, saved) = operation.forward(inputs.each_ref().map(slice));
    let output = tensor(output, shape);
    let Ok(nodes) = nodes.try_into() else {
        // There is one node for each of the N inputs.
        return CpuTensor::Plain(output);
    };
    let backward = HandWritten::<O>(PhantomData);
    let prepared = Backward::<Flex, N>::prepare::<NoCheckpointing>(backward, nodes);
    CpuTensor::Tracked(match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let state = State {
                operation: Arc::new(operation),
                inputs,
                saved: Arc::new(saved),
            };
            prepared.finish(state, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    })
}

#[derive(Debug)]
struct HandWritten<O>(PhantomData<fn() -> O>);

struct State<O: Operation<N>, const N: usize> {
    operation: Arc<O>,
    inputs: [Plain; N],
    saved: Arc<O::Saved>,
}

impl<O: Operation<N>, const N: usize> Clone for State<O, N> {
    fn clone(&self) -> Self {
        Self {
            operation: self.operation.clone(),
            inputs: self.inputs.clone(),
            saved: self.saved.clone(),
        }
    }
}

impl<O: Operation<N>, const N: usize> Debug for State<O, N> {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        write!(formatter, "state of {:?}", self.operation)
    }
}

impl<O: Operation<N>, const N: usize> Backward<Flex, N> for HandWritten<O> {
    type State = State<O, N>;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let d_output = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let State {
            operation,
            inputs,
            saved,
        } = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let d_inputs = operation.backward(
            inputs.each_ref().map(slice),
            &saved,
            slice(&d_output),
            wanted,
        );
        for ((parent, gradient), input) in ops.parents.into_iter().zip(d_inputs).zip(&inputs) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                let gradient = tensor(gradient, input.layout().shape());
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The values of a contiguous tensor.
fn slice(tensor: &Plain) -> &[f32] {
    let start = tensor.layout().start_offset();
    &tensor.storage::<f32>()[start..start + tensor.layout().num_elements()]
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> Plain {
    Flex::float_from_data(TensorData::new(values, shape.to_vec()), &Default::default())
}
