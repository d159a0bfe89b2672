//! Requests and answers as lines of numbers.

use crate::process::reply::{AnswerShape, Asked, NoReply, Outcome, Reply, cut};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};

/// Bytes of a line for each number in it, and besides.
const NUMBER_BYTES: usize = 64;
const MORE_BYTES: usize = 4_096;

/// The bytes of a request; `theta` is \[row, parameter\].
pub fn request(theta: &[f64], n_parameters: usize) -> Vec<u8> {
    let mut text = String::new();
    for row in theta.chunks_exact(n_parameters.max(1)) {
        for (place, value) in row.iter().enumerate() {
            if place > 0 {
                text.push(' ');
            }
            // Writing to a string does not fail. 1e300 is not to be 301 digits long.
            let _ = match (1e-5..1e15).contains(&value.abs()) || *value == 0.0 {
                true => write!(text, "{value}"),
                false => write!(text, "{value:e}"),
            };
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// The answer to what was asked: a line a row.
pub fn reply<R: Read>(
    stream: &mut BufReader<R>,
    shape: &AnswerShape,
    asked: Asked,
) -> Result<Reply, NoReply> {
    let gives_likelihood = shape.n_data == 0;
    let n_first = shape.n_data.max(1);
    let n_numbers = n_first + shape.blobs.len();
    let most = NUMBER_BYTES * n_numbers + MORE_BYTES;
    let mut reply = Reply {
        outcomes: Vec::with_capacity(asked.n_rows),
        x: Vec::new(),
        log_likelihood: gives_likelihood.then(Vec::new),
        theta: Vec::new(),
        blobs: Vec::new(),
    };
    let mut line = Vec::new();
    for _ in 0..asked.n_rows {
        line.clear();
        stream
            .by_ref()
            .take(most as u64)
            .read_until(b'\n', &mut line)?;
        if line.pop_if(|last| *last == b'\n').is_none() {
            return Err(match line.len() < most {
                true => NoReply::Ended,
                false => NoReply::nonsense(format!(
                    "found a line of more than {most} bytes, expected {n_numbers} numbers"
                )),
            });
        }
        let text = String::from_utf8_lossy(&line);
        let numbers = match text.trim().strip_prefix("error") {
            Some(message) => {
                let message = message.trim_start_matches(':').trim();
                let message = match message.is_empty() {
                    true => "failed without a message".to_owned(),
                    false => cut(message),
                };
                reply.outcomes.push(Outcome::Failed(message));
                vec![f64::NAN; n_numbers]
            }
            None => {
                reply.outcomes.push(Outcome::Answered);
                numbers_in(&text, n_numbers)?
            }
        };
        let (first, blobs) = numbers.split_at(n_first);
        match &mut reply.log_likelihood {
            Some(values) => values.extend(first.iter().copied().map(Some)),
            None => reply.x.extend(first),
        }
        reply.blobs.extend(blobs);
    }
    if !stream.buffer().is_empty() {
        return Err(NoReply::nonsense(format!(
            "found more lines than the {} that were asked for",
            asked.n_rows
        )));
    }
    Ok(reply)
}

fn numbers_in(line: &str, expected: usize) -> Result<Vec<f64>, NoReply> {
    let mut numbers = Vec::with_capacity(expected);
    for word in line.split_ascii_whitespace() {
        match word.parse() {
            Ok(number) => numbers.push(number),
            Err(_) => {
                return Err(NoReply::Nonsense(cut(&format!(
                    "found the line {line:?}, expected {expected} numbers"
                ))));
            }
        }
    }
    match numbers.len() {
        found if found == expected => Ok(numbers),
        found => Err(NoReply::nonsense(format!(
            "found {found} numbers in a line, expected {expected}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_all_digits_that_they_need() {
        let theta = [0.1, -2.0, 1e300, 0.0, 1.0 / 3.0, 1e-12];
        let expected = "0.1 -2 1e300\n0 0.3333333333333333 1e-12\n";
        assert_eq!(String::from_utf8(request(&theta, 3)).unwrap(), expected);
    }

    fn read(text: &str, n_data: usize, n_blobs: usize, n_rows: usize) -> Result<Reply, NoReply> {
        let shape = AnswerShape {
            n_data,
            theta: Vec::new(),
            blobs: vec!["b".to_owned(); n_blobs],
            must_give_likelihood: n_data == 0,
        };
        let asked = Asked {
            first_row: 0,
            n_rows,
        };
        reply(&mut BufReader::new(text.as_bytes()), &shape, asked)
    }

    #[test]
    fn a_line_is_x_and_derived_quantities_or_an_error() {
        let text = "1 2.5e0 7\nerror: no such star\n-1 nan 8\r\n";
        let found = read(text, 2, 1, 3).unwrap();
        assert_eq!(
            found.outcomes,
            [
                Outcome::Answered,
                Outcome::Failed("no such star".to_owned()),
                Outcome::Answered
            ]
        );
        assert_eq!(found.x[..2], [1.0, 2.5]);
        assert!(found.x[5].is_nan());
        assert_eq!((found.blobs[0], found.blobs[2]), (7.0, 8.0));
        assert_eq!(found.log_likelihood, None);
    }

    #[test]
    fn where_nothing_is_simulated_a_line_is_the_log_likelihood() {
        let found = read("-0.5\n-inf\n", 0, 0, 2).unwrap();
        let expected = vec![Some(-0.5), Some(f64::NEG_INFINITY)];
        assert_eq!(found.log_likelihood, Some(expected));
        assert!(found.x.is_empty());
    }

    #[test]
    fn other_lines_are_nonsense() {
        let nonsense = |text: &str, n_rows| match read(text, 2, 0, n_rows) {
            Err(NoReply::Nonsense(message)) => message,
            other => panic!("found {other:?}"),
        };
        assert_eq!(
            nonsense("hello, world\n", 1),
            r#"found the line "hello, world", expected 2 numbers"#
        );
        assert_eq!(
            nonsense("1 2 3\n", 1),
            "found 3 numbers in a line, expected 2"
        );
        assert_eq!(
            nonsense("1 2\n3 4\n", 1),
            "found more lines than the 1 that were asked for"
        );
        assert_eq!(
            nonsense(&"1".repeat(100_000), 1),
            "found a line of more than 4224 bytes, expected 2 numbers"
        );
        assert_eq!(read("1 2\n3", 2, 0, 2), Err(NoReply::Ended));
    }
}
