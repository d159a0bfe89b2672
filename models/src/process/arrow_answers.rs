//! Answers as an Arrow stream, read from a peer that is not trusted.

use crate::process::arrow_columns::Columns;
use crate::process::reply::{AnswerShape, Asked, NoReply, Outcome, Reply, cut};
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::{Message, root_as_message};
use arrow_schema::{DataType, Field, Schema};
use std::io::Read;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// What begins every message.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Bytes of messages that a row may have, and those of all rows besides.
const MESSAGE_BYTES: u64 = 4_096;
const MORE_MESSAGE_BYTES: u64 = 1 << 20;

/// Bytes of a message's metadata: so many, and for each column.
const METADATA_BYTES: usize = 1 << 20;
const METADATA_BYTES_OF_COLUMN: usize = 4_096;

/// Reads one reply after the other. No more memory is taken than the rows that were asked for can need.
pub struct AnswerReader<R> {
    stream: R,
    shape: Arc<AnswerShape>,
    /// What the columns are, in their order, once the stream has said it.
    roles: Option<Vec<Role>>,
}

/// What a column of answers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    RowId,
    X,
    LogLikelihood,
    /// The place among the names of θ.
    Theta(usize),
    /// The place among the derived quantities.
    Blob(usize),
    Status,
    Message,
}

impl<R: Read> AnswerReader<R> {
    pub fn new(stream: R, shape: Arc<AnswerShape>) -> Self {
        Self {
            stream,
            shape,
            roles: None,
        }
    }

    /// The answer to what was asked.
    pub fn reply(&mut self, asked: Asked) -> Result<Reply, NoReply> {
        let roles = match self.roles.take() {
            Some(roles) => roles,
            None => self.read_roles()?,
        };
        let metadata = self.read_metadata()?;
        let message = message_in(&metadata)?;
        let found = message.bodyLength();
        let most = self.most_body_bytes(asked.n_rows);
        let length = u64::try_from(found).ok().filter(|length| *length <= most);
        let Some(length) = length else {
            return Err(NoReply::nonsense(format!(
                "found an answer of {found} bytes, expected at most {most}"
            )));
        };
        let mut body = vec![0; length as usize];
        self.stream.read_exact(&mut body)?;
        let columns = Columns::of(&message, &body, asked.n_rows)?;
        let reply = read_columns(columns, &roles, &self.shape, asked)?;
        self.roles = Some(roles);
        Ok(reply)
    }

    fn read_roles(&mut self) -> Result<Vec<Role>, NoReply> {
        let metadata = self.read_metadata()?;
        let message = message_in(&metadata)?;
        let (Some(schema), 0) = (message.header_as_schema(), message.bodyLength()) else {
            return Err(NoReply::nonsense(
                "the answers do not begin with an Arrow schema",
            ));
        };
        let schema = try_fb_to_schema(schema).map_err(|error| {
            NoReply::Nonsense(cut(&format!("the answers' schema cannot be read: {error}")))
        })?;
        roles_of(&schema, &self.shape).map_err(|complaint| NoReply::Nonsense(cut(&complaint)))
    }

    fn read_metadata(&mut self) -> Result<Vec<u8>, NoReply> {
        let mut word = [0; 4];
        self.stream.read_exact(&mut word)?;
        if word != CONTINUATION {
            return Err(NoReply::nonsense(format!(
                "found the bytes {word:02x?}, expected the beginning of an Arrow message"
            )));
        }
        self.stream.read_exact(&mut word)?;
        let found = i32::from_le_bytes(word);
        if found == 0 {
            // The child has closed its stream.
            return Err(NoReply::Ended);
        }
        let n_columns = self.shape.theta.len() + self.shape.blobs.len();
        let most = METADATA_BYTES + n_columns * METADATA_BYTES_OF_COLUMN;
        let Some(length) = usize::try_from(found).ok().filter(|found| *found <= most) else {
            return Err(NoReply::nonsense(format!(
                "found metadata of {found} bytes, expected at most {most}"
            )));
        };
        let mut metadata = vec![0; length];
        self.stream.read_exact(&mut metadata)?;
        Ok(metadata)
    }

    /// What an answer can have at most, with validity and padding.
    fn most_body_bytes(&self, n_rows: usize) -> u64 {
        let n_columns = 5 + self.shape.theta.len() + self.shape.blobs.len();
        let n_values = (self.shape.n_data + n_columns) as u64;
        // 9 bytes: a value and, more than a bit, whether it is null.
        (n_rows as u64)
            .saturating_mul(9 * n_values + MESSAGE_BYTES)
            .saturating_add(n_columns as u64 * 256 + MORE_MESSAGE_BYTES)
    }
}

fn message_in(metadata: &[u8]) -> Result<Message<'_>, NoReply> {
    root_as_message(metadata).map_err(|_| NoReply::nonsense("found no Arrow message"))
}

/// What the columns of a schema are; an error says why it is not one of answers.
fn roles_of(schema: &Schema, shape: &AnswerShape) -> Result<Vec<Role>, String> {
    let mut expected = vec![("row_id", Role::RowId)];
    if shape.n_data > 0 {
        expected.push(("x", Role::X));
    }
    if shape.must_give_likelihood || schema.column_with_name("log_likelihood").is_some() {
        expected.push(("log_likelihood", Role::LogLikelihood));
    }
    let theta = shape.theta.iter().enumerate();
    expected.extend(theta.map(|(place, name)| (name.as_str(), Role::Theta(place))));
    let blobs = shape.blobs.iter().enumerate();
    expected.extend(blobs.map(|(place, name)| (name.as_str(), Role::Blob(place))));
    expected.extend([("status", Role::Status), ("message", Role::Message)]);
    let n_found = schema.fields().len();
    let mut roles = vec![Role::RowId; n_found.min(expected.len())];
    for (name, role) in &expected {
        let Some((place, field)) = schema.column_with_name(name) else {
            return Err(format!("found no column {name} in the answers"));
        };
        let expected = role.data_type(shape.n_data);
        if !is_as(field.data_type(), &expected) {
            let found = field.data_type();
            return Err(format!(
                "the answers' column {name} is of type {found}, expected {expected}"
            ));
        }
        if let Some(place) = roles.get_mut(place) {
            *place = *role;
        }
    }
    match n_found == expected.len() {
        true => Ok(roles),
        false => Err(format!(
            "the answers have {n_found} columns, expected {}",
            expected.len()
        )),
    }
}

impl Role {
    fn data_type(self, n_data: usize) -> DataType {
        match self {
            Self::RowId => DataType::UInt64,
            Self::X => {
                let item = Field::new("item", DataType::Float64, true);
                DataType::FixedSizeList(Arc::new(item), n_data as i32)
            }
            Self::LogLikelihood | Self::Theta(_) | Self::Blob(_) => DataType::Float64,
            Self::Status => DataType::UInt8,
            Self::Message => DataType::Utf8,
        }
    }
}

/// How the values within a list are called, and whether they may be null, does not matter.
fn is_as(found: &DataType, expected: &DataType) -> bool {
    if let DataType::FixedSizeList(found, n_found) = found
        && let DataType::FixedSizeList(expected, n_expected) = expected
    {
        return n_found == n_expected && found.data_type() == expected.data_type();
    }
    found == expected
}

/// What the columns say. Numbers that are null are NaN.
fn read_columns(
    mut columns: Columns<'_>,
    roles: &[Role],
    shape: &AnswerShape,
    asked: Asked,
) -> Result<Reply, NoReply> {
    let n_rows = asked.n_rows;
    let matrix = |names: &[String]| vec![f64::NAN; n_rows * names.len()];
    let (mut x, mut log_likelihood) = (Vec::new(), None);
    let (mut theta, mut blobs) = (matrix(&shape.theta), matrix(&shape.blobs));
    let (mut status, mut messages) = (Vec::new(), Vec::new());
    let put = |matrix: &mut [f64], place: usize, width: usize, values: Vec<Option<f64>>| {
        let places = matrix.iter_mut().skip(place).step_by(width);
        for (value, found) in places.zip(values) {
            *value = found.unwrap_or(f64::NAN);
        }
    };
    for role in roles {
        match *role {
            Role::RowId => check_ids(&columns.next(u64::from_le_bytes)?, asked.first_row)?,
            Role::X => x = columns.next_lists(shape.n_data)?,
            Role::LogLikelihood => log_likelihood = Some(columns.next(f64::from_le_bytes)?),
            Role::Theta(place) => {
                let values = columns.next(f64::from_le_bytes)?;
                put(&mut theta, place, shape.theta.len(), values);
            }
            Role::Blob(place) => {
                let values = columns.next(f64::from_le_bytes)?;
                put(&mut blobs, place, shape.blobs.len(), values);
            }
            Role::Status => status = columns.next(u8::from_le_bytes)?,
            Role::Message => messages = columns.next_strings()?,
        }
    }
    let outcomes = status.into_iter().zip(messages).map(|(status, message)| {
        let words = || {
            let message = message.map(String::from_utf8_lossy);
            cut(message.as_deref().unwrap_or("failed without a message"))
        };
        match status {
            Some(0) => Ok(Outcome::Answered),
            Some(1) => Ok(Outcome::Failed(words())),
            Some(2) => Ok(Outcome::TryAgain(words())),
            Some(found) => Err(NoReply::nonsense(format!(
                "found the status {found}, expected 0, 1 or 2"
            ))),
            None => Err(NoReply::nonsense("found no status, expected 0, 1 or 2")),
        }
    });
    Ok(Reply {
        outcomes: outcomes.collect::<Result<_, _>>()?,
        x,
        log_likelihood,
        theta,
        blobs,
    })
}

fn check_ids(found: &[Option<u64>], first_row: u64) -> Result<(), NoReply> {
    for (found, expected) in found.iter().zip(first_row..) {
        if *found != Some(expected) {
            let found = found.map_or("null".to_owned(), |id| id.to_string());
            return Err(NoReply::nonsense(format!(
                "found the answer of row {found}, expected that of row {expected}"
            )));
        }
    }
    Ok(())
}
