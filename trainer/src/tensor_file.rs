//! Named tensors as a safetensors file. Each has its position in front of its name, because the format sorts by name.

use crate::parameters::NamedTensor;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;

/// All tensors of a file, which must be f32, in the order that they were written in.
pub fn read_tensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("not a safetensors file: {error}"))?;
    let mut tensors = file.tensors();
    tensors.sort_by(|(left, _), (right, _)| left.cmp(right));
    tensors.into_iter().map(named).collect()
}

fn named((name, view): (String, TensorView)) -> Result<NamedTensor, String> {
    if view.dtype() != Dtype::F32 {
        return Err(format!(
            "tensor `{name}` is of type {:?}, expected F32",
            view.dtype()
        ));
    }
    let Some((_, own)) = name.split_once(':') else {
        return Err(format!(
            "tensor `{name}` has no position in front of its name"
        ));
    };
    let (numbers, _) = view.data().as_chunks::<4>();
    Ok(NamedTensor {
        name: own.to_owned(),
        shape: view.shape().to_vec(),
        values: numbers
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect(),
    })
}

/// The file of `tensors`, with `metadata` in its head.
pub fn write_tensors(
    tensors: &[NamedTensor],
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, String> {
    let bytes_of = |tensor: &NamedTensor| -> Vec<u8> {
        let numbers = tensor.values.iter();
        numbers.flat_map(|value| value.to_le_bytes()).collect()
    };
    let bytes: Vec<Vec<u8>> = tensors.iter().map(bytes_of).collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (index, (tensor, bytes)) in tensors.iter().zip(&bytes).enumerate() {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)
            .map_err(|error| error.to_string())?;
        views.push((format!("{index:05}:{}", tensor.name), view));
    }
    safetensors::serialize(views, metadata).map_err(|error| error.to_string())
}
