//! Draws and their neighbours as a graph, and the hills that its higher and lower ones make.

use crate::base::squared_distance;

/// For each place the `n` places next to it, the nearest first.
pub fn neighbours(at: &[Vec<f64>], n: usize) -> Vec<Vec<usize>> {
    let n = n.min(at.len().saturating_sub(1));
    let mut by_distance: Vec<(f64, usize)> = Vec::with_capacity(at.len());
    let nearest = |i: usize| {
        by_distance.clear();
        by_distance.extend(
            (0..at.len())
                .filter(|&j| j != i)
                .map(|j| (squared_distance(&at[i], &at[j]), j)),
        );
        let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if 0 < n && n < by_distance.len() {
            by_distance.select_nth_unstable_by(n - 1, order);
        }
        by_distance.truncate(n);
        by_distance.sort_by(order);
        by_distance.iter().map(|&(_, j)| j).collect()
    };
    (0..at.len()).map(nearest).collect()
}

/// Disjoint sets of places, each with its top.
pub struct Hills {
    parent: Vec<usize>,
}

impl Hills {
    pub fn new(n: usize) -> Self {
        Self {
            parent: (0..n).collect(),
        }
    }

    pub fn top(&mut self, mut place: usize) -> usize {
        while self.parent[place] != place {
            self.parent[place] = self.parent[self.parent[place]];
            place = self.parent[place];
        }
        place
    }

    /// `lower` is a top; from now on its hill belongs to `higher`.
    pub fn join(&mut self, lower: usize, higher: usize) {
        self.parent[lower] = higher;
    }
}
