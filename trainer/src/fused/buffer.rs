//! Scratch memory that each thread keeps between steps, so that a step allocates next to nothing.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A thread keeps no more buffers than this: a step of the largest networks has about two hundred.
const MOST_KEPT: usize = 512;

/// Numbers borrowed from the thread's store, given back (to the store of whichever thread) when dropped.
#[derive(Debug)]
pub struct Buffer(Vec<f32>);

impl Buffer {
    /// `n` numbers of any value: whoever takes them writes all of them.
    pub fn take(n: usize) -> Self {
        let kept = FREE.with_borrow_mut(|free| {
            let fits = |buffer: &Vec<f32>| buffer.capacity() >= n;
            let smallest = free
                .iter()
                .enumerate()
                .filter(|(_, buffer)| fits(buffer))
                .min_by_key(|(_, buffer)| buffer.capacity())
                .map(|(index, _)| index);
            smallest.map(|index| free.swap_remove(index))
        });
        let mut values = kept.unwrap_or_default();
        values.resize(n, 0.0);
        Self(values)
    }

    /// `n` zeros.
    pub fn zeros(n: usize) -> Self {
        let mut buffer = Self::take(n);
        buffer.fill(0.0);
        buffer
    }

    pub fn copy_of(values: &[f32]) -> Self {
        let mut buffer = Self::take(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.0);
        // A thread that ends has no store any more.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < MOST_KEPT {
                free.push(values);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

/// Vectors for gradients of weights, which one thread fills and another adds up.
static GRADIENTS: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// `n` numbers of any value, for a gradient that [`give_back`] will return.
pub fn take_gradient(n: usize) -> Vec<f32> {
    let mut free = GRADIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let fitting = free.iter().position(|values| values.capacity() == n);
    let mut values = fitting.map_or_else(|| Vec::with_capacity(n), |index| free.swap_remove(index));
    drop(free);
    values.resize(n, 0.0);
    values
}

/// Keeps the memory of a gradient that [`take_gradient`] gave for the next step. Of another one nobody would ask for the
/// capacity again.
pub fn give_back(values: Vec<f32>) {
    let mut free = GRADIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if free.len() < MOST_KEPT {
        free.push(values);
    }
}

/// Frees what this thread keeps, and the gradients.
pub fn clear() {
    FREE.with_borrow_mut(Vec::clear);
    GRADIENTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
}
