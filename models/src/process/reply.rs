//! What a child answers to one batch, and what of it is taken.

use crate::process::settings::Hello;

/// A log-likelihood below is one of zero likelihood.
const LEAST: f64 = -1e290;

/// Longer messages are cut.
const MOST_BYTES: usize = 1_000;

/// What every answer must have.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerShape {
    pub n_data: usize,
    pub theta: Vec<String>,
    pub blobs: Vec<String>,
    pub must_give_likelihood: bool,
}

/// The rows that a batch was made of, by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub first_row: u64,
    pub n_rows: usize,
}

/// What is taken of an answer: numbers of rows that are not `Answered` are not looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub outcomes: Vec<Outcome>,
    /// \[row, `n_data`\]
    pub x: Vec<f64>,
    /// None: no answer of this child has one.
    pub log_likelihood: Option<Vec<Option<f64>>>,
    /// \[row, name\]
    pub theta: Vec<f64>,
    /// \[row, name\]
    pub blobs: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    Failed(String),
    /// Failed, and another try may help.
    TryAgain(String),
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoReply {
    /// The child sends no more.
    Ended,
    /// What it sent is no answer; says why.
    Nonsense(String),
}

impl NoReply {
    pub fn nonsense(message: impl Into<String>) -> Self {
        Self::Nonsense(message.into())
    }
}

impl From<std::io::Error> for NoReply {
    /// Whatever keeps us from reading, nothing more will come.
    fn from(_: std::io::Error) -> Self {
        Self::Ended
    }
}

impl AnswerShape {
    pub fn of(hello: &Hello) -> Self {
        Self {
            n_data: hello.n_data,
            theta: hello.theta_names().to_vec(),
            blobs: hello.blobs.clone(),
            must_give_likelihood: hello.must_give_likelihood(),
        }
    }

    /// Fails the rows whose numbers are none to go on with, and sets log-likelihoods below -1e290 to -inf; gives whether
    /// there was such a one.
    pub fn judge(&self, reply: &mut Reply) -> bool {
        let mut has_tiny = false;
        for row in 0..reply.outcomes.len() {
            match reply.outcomes[row] {
                Outcome::Answered => {}
                Outcome::Failed(_) | Outcome::TryAgain(_) => continue,
            }
            if let Some(message) = self.complaint(reply, row) {
                reply.outcomes[row] = Outcome::Failed(message);
            } else if let Some(values) = &mut reply.log_likelihood
                && let Some(value) = &mut values[row]
                && value.is_finite()
                && *value < LEAST
            {
                *value = f64::NEG_INFINITY;
                has_tiny = true;
            }
        }
        has_tiny
    }

    fn complaint(&self, reply: &Reply, row: usize) -> Option<String> {
        let not_finite = |values: &[f64], width: usize| {
            let values = &values[row * width..(row + 1) * width];
            let place = values.iter().position(|value| !value.is_finite())?;
            Some((place, values[place]))
        };
        if let Some((datum, value)) = not_finite(&reply.x, self.n_data) {
            return Some(format!(
                "datum {datum} is {value}, expected a finite number"
            ));
        }
        if let Some((place, value)) = not_finite(&reply.theta, self.theta.len()) {
            let name = &self.theta[place];
            return Some(format!("{name} is {value}, expected a finite number"));
        }
        match reply.log_likelihood.as_ref()?[row] {
            None => Some("found no log-likelihood, expected one".to_owned()),
            Some(value) if value.is_nan() || value == f64::INFINITY => Some(format!(
                "log-likelihood is {value}, expected a number below infinity"
            )),
            Some(_) => None,
        }
    }
}

/// The beginning of a message, where it is too long for a table.
pub fn cut(message: &str) -> String {
    if message.len() <= MOST_BYTES {
        return message.to_owned();
    }
    format!(
        "{}...",
        &message[..message.floor_char_boundary(MOST_BYTES - 3)]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none_fail_their_row() {
        let shape = AnswerShape {
            n_data: 2,
            theta: vec!["a".to_owned()],
            blobs: Vec::new(),
            must_give_likelihood: true,
        };
        let failed = |message: &str| Outcome::Failed(message.to_owned());
        let mut reply = Reply {
            outcomes: vec![Outcome::Answered; 7],
            x: [[1.0, 2.0]; 7].concat(),
            log_likelihood: Some(vec![Some(0.0); 7]),
            theta: vec![0.0; 7],
            blobs: Vec::new(),
        };
        reply.x[3] = f64::NAN;
        reply.theta[2] = f64::INFINITY;
        let values = reply.log_likelihood.as_mut().unwrap();
        values[3] = None;
        values[4] = Some(f64::INFINITY);
        values[5] = Some(f64::NEG_INFINITY);
        reply.outcomes[6] = failed("as the child says");
        assert!(!shape.judge(&mut reply));
        assert_eq!(
            reply.outcomes,
            [
                Outcome::Answered,
                failed("datum 1 is NaN, expected a finite number"),
                failed("a is inf, expected a finite number"),
                failed("found no log-likelihood, expected one"),
                failed("log-likelihood is inf, expected a number below infinity"),
                Outcome::Answered,
                failed("as the child says"),
            ]
        );
        reply.log_likelihood.as_mut().unwrap()[0] = Some(-1e300);
        assert!(shape.judge(&mut reply));
        assert_eq!(reply.log_likelihood.unwrap()[0], Some(f64::NEG_INFINITY));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(600);
        let expected = format!("{}...", "ä".repeat(498));
        assert_eq!(cut(&long), expected);
    }
}
