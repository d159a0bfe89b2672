//! From data to features: every featurizer of the campaign file, with its gradient.

use super::buffer::Buffer;
use super::dense::DensePass;
use super::gru::{GruPass, GruSaved};
use super::loops::{add, mask_by_relu};
use super::tower::{TowerPass, TowerSaved};

/// Sizes of a `featurizer::Featurizer`; weights lie end to end in the order of the module.
#[derive(Debug, Clone)]
pub enum NetworkPass {
    ResnetGru(TowerPass, GruPass, DensePass),
    Resnet(TowerPass, DensePass),
    Gru(DensePass, GruPass, DensePass),
    Mlp(MlpPass),
}

/// An input layer, residual hidden layers and a linear output.
#[derive(Debug, Clone)]
pub struct MlpPass {
    pub input: DensePass,
    pub n_residual: usize,
    pub output: DensePass,
}

/// What the gradient needs.
#[derive(Debug)]
pub enum NetworkSaved {
    ResnetGru(TowerSaved, GruSaved),
    Resnet(TowerSaved),
    /// The embedded data, and the layer over them.
    Gru(Buffer, GruSaved),
    Mlp(MlpSaved),
}

#[derive(Debug)]
pub struct MlpSaved {
    states: Vec<Buffer>,
    added: Vec<Buffer>,
}

impl NetworkPass {
    pub fn n_features(&self) -> usize {
        match self {
            Self::ResnetGru(_, _, output) | Self::Resnet(_, output) | Self::Gru(_, _, output) => {
                output.n_out
            }
            Self::Mlp(mlp) => mlp.output.n_out,
        }
    }

    /// `[n, length, channels]` -> `[n, n_features]`, written over `features`.
    pub fn forward(
        &self,
        n: usize,
        weights: &[f32],
        x: &[f32],
        features: &mut [f32],
    ) -> NetworkSaved {
        match self {
            Self::ResnetGru(tower, gru, output) => {
                let (own, rest) = weights.split_at(tower.n_weights());
                let (of_gru, of_output) = rest.split_at(gru.n_weights());
                let tower = tower.forward(n, own, x);
                let saved = gru.forward(n, of_gru, &tower.output);
                output.forward(of_output, saved.output(n, gru.hidden), features);
                NetworkSaved::ResnetGru(tower, saved)
            }
            Self::Resnet(tower, output) => {
                let (own, of_output) = weights.split_at(tower.n_weights());
                let tower = tower.forward(n, own, x);
                output.forward(of_output, &tower.output, features);
                NetworkSaved::Resnet(tower)
            }
            Self::Gru(embed, gru, output) => {
                let (own, rest) = weights.split_at(embed.n_weights());
                let (of_gru, of_output) = rest.split_at(gru.n_weights());
                let mut embedded = Buffer::take(x.len() / embed.n_in * embed.n_out);
                embed.forward_relu(own, x, &mut embedded);
                let saved = gru.forward(n, of_gru, &embedded);
                output.forward(of_output, saved.output(n, gru.hidden), features);
                NetworkSaved::Gru(embedded, saved)
            }
            Self::Mlp(mlp) => NetworkSaved::Mlp(mlp.forward(n, weights, x, features)),
        }
    }

    /// Gradients of the weights, written over `d_weights`, from that of the features.
    pub fn backward(
        &self,
        n: usize,
        weights: &[f32],
        x: &[f32],
        saved: &NetworkSaved,
        d_features: &[f32],
        d_weights: &mut [f32],
    ) {
        match (self, saved) {
            (Self::ResnetGru(tower, gru, output), NetworkSaved::ResnetGru(of_tower, of_gru)) => {
                let (own, rest) = weights.split_at(tower.n_weights());
                let (d_own, d_rest) = d_weights.split_at_mut(tower.n_weights());
                let d_sequences = backward_gru(n, gru, output, rest, of_gru, d_features, d_rest);
                tower.backward(n, own, of_tower, d_sequences, d_own);
            }
            (Self::Resnet(tower, output), NetworkSaved::Resnet(saved)) => {
                let (own, of_output) = weights.split_at(tower.n_weights());
                let (d_own, d_of_output) = d_weights.split_at_mut(tower.n_weights());
                output.backward_weights(&saved.output, d_features, d_of_output);
                let mut d_output = Buffer::take(saved.output.len());
                output.backward_input(of_output, d_features, &mut d_output);
                tower.backward(n, own, saved, d_output, d_own);
            }
            (Self::Gru(embed, gru, output), NetworkSaved::Gru(embedded, of_gru)) => {
                let (_, rest) = weights.split_at(embed.n_weights());
                let (d_own, d_rest) = d_weights.split_at_mut(embed.n_weights());
                let mut d_embedded = backward_gru(n, gru, output, rest, of_gru, d_features, d_rest);
                mask_by_relu(&mut d_embedded, embedded);
                embed.backward_weights(x, &d_embedded, d_own);
            }
            (Self::Mlp(mlp), NetworkSaved::Mlp(saved)) => {
                mlp.backward(n, weights, x, saved, d_features, d_weights);
            }
            // What is saved is always the network's own.
            (
                Self::ResnetGru(..) | Self::Resnet(..) | Self::Gru(..) | Self::Mlp(_),
                NetworkSaved::ResnetGru(..)
                | NetworkSaved::Resnet(_)
                | NetworkSaved::Gru(..)
                | NetworkSaved::Mlp(_),
            ) => {}
        }
    }
}

/// The gradient of a GRU's input where a linear layer follows it; `weights` are those of both.
fn backward_gru(
    n: usize,
    gru: &GruPass,
    output: &DensePass,
    weights: &[f32],
    saved: &GruSaved,
    d_features: &[f32],
    d_weights: &mut [f32],
) -> Buffer {
    let (of_gru, of_output) = weights.split_at(gru.n_weights());
    let (d_of_gru, d_of_output) = d_weights.split_at_mut(gru.n_weights());
    let state = saved.output(n, gru.hidden);
    output.backward_weights(state, d_features, d_of_output);
    let mut d_state = Buffer::take(state.len());
    output.backward_input(of_output, d_features, &mut d_state);
    gru.backward(n, of_gru, saved, &d_state, d_of_gru)
}

impl MlpPass {
    fn residual(&self) -> DensePass {
        DensePass::new(self.input.n_out, self.input.n_out)
    }

    fn forward(&self, n: usize, weights: &[f32], x: &[f32], features: &mut [f32]) -> MlpSaved {
        let h = self.input.n_out;
        let (own, rest) = weights.split_at(self.input.n_weights());
        let residual = self.residual().n_weights();
        let (hidden, of_output) = rest.split_at(self.n_residual * residual);
        let mut state = Buffer::take(n * h);
        self.input.forward_relu(own, x, &mut state);
        let mut states = Vec::with_capacity(self.n_residual + 1);
        let mut added = Vec::with_capacity(self.n_residual);
        for layer in hidden.chunks_exact(residual) {
            let mut own = Buffer::take(n * h);
            self.residual().forward_relu(layer, &state, &mut own);
            let mut next = Buffer::copy_of(&state);
            add(&mut next, &own);
            states.push(std::mem::replace(&mut state, next));
            added.push(own);
        }
        self.output.forward(of_output, &state, features);
        states.push(state);
        MlpSaved { states, added }
    }

    fn backward(
        &self,
        n: usize,
        weights: &[f32],
        x: &[f32],
        saved: &MlpSaved,
        d_features: &[f32],
        d_weights: &mut [f32],
    ) {
        let residual = self.residual().n_weights();
        let (_, rest) = weights.split_at(self.input.n_weights());
        let (hidden, of_output) = rest.split_at(self.n_residual * residual);
        let (d_own, d_rest) = d_weights.split_at_mut(self.input.n_weights());
        let (d_hidden, d_of_output) = d_rest.split_at_mut(self.n_residual * residual);
        self.output
            .backward_weights(&saved.states[self.n_residual], d_features, d_of_output);
        let mut d_state = Buffer::take(n * self.input.n_out);
        self.output
            .backward_input(of_output, d_features, &mut d_state);
        for layer in (0..self.n_residual).rev() {
            let own = layer * residual..(layer + 1) * residual;
            let mut d_added = Buffer::copy_of(&d_state);
            mask_by_relu(&mut d_added, &saved.added[layer]);
            self.residual().backward_weights(
                &saved.states[layer],
                &d_added,
                &mut d_hidden[own.clone()],
            );
            let mut through = Buffer::take(d_state.len());
            self.residual()
                .backward_input(&hidden[own], &d_added, &mut through);
            add(&mut d_state, &through);
        }
        mask_by_relu(&mut d_state, &saved.states[0]);
        self.input.backward_weights(x, &d_state, d_own);
    }
}
