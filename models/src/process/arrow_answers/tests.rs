//! Answers as they should be, and hostile ones.

use super::*;
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float64Array, RecordBatch, StringArray, UInt8Array,
    UInt64Array,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::Field;
use std::io::Cursor;

fn shape() -> Arc<AnswerShape> {
    Arc::new(AnswerShape {
        n_data: 2,
        theta: vec!["a".to_owned()],
        blobs: vec!["mass".to_owned()],
        must_give_likelihood: true,
    })
}

const ASKED: Asked = Asked {
    first_row: 7,
    n_rows: 3,
};

fn x(values: Vec<f64>, n_data: i32) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let values = Arc::new(Float64Array::from(values));
    Arc::new(FixedSizeListArray::new(item, n_data, values, None))
}

/// Three good rows, the second of which has failed.
fn columns() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("row_id", Arc::new(UInt64Array::from(vec![7, 8, 9]))),
        ("x", x(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2)),
        (
            "log_likelihood",
            Arc::new(Float64Array::from(vec![Some(-1.0), None, Some(-3.0)])),
        ),
        ("a", Arc::new(Float64Array::from(vec![0.1, 0.2, 0.3]))),
        (
            "mass",
            Arc::new(Float64Array::from(vec![Some(10.0), None, Some(30.0)])),
        ),
        ("status", Arc::new(UInt8Array::from(vec![0, 1, 0]))),
        (
            "message",
            Arc::new(StringArray::from(vec![None, Some("no star"), None])),
        ),
    ]
}

fn stream_of(columns: Vec<(&'static str, ArrayRef)>) -> Vec<u8> {
    let columns = columns.into_iter().map(|(name, column)| {
        let is_nullable = true;
        (name, column, is_nullable)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn with(name: &'static str, column: impl Array + 'static) -> Vec<u8> {
    let mut columns = columns();
    let place = columns.iter().position(|(found, _)| *found == name);
    columns[place.unwrap()].1 = Arc::new(column);
    stream_of(columns)
}

fn read(bytes: &[u8]) -> Result<Reply, NoReply> {
    AnswerReader::new(bytes, shape()).reply(ASKED)
}

fn nonsense(bytes: &[u8]) -> String {
    match read(bytes) {
        Err(NoReply::Nonsense(message)) => message,
        other => panic!("found {other:?}, expected nonsense"),
    }
}

#[test]
fn an_answer_is_read() {
    let mut reply = read(&stream_of(columns())).unwrap();
    assert!(reply.blobs[1].is_nan());
    reply.blobs[1] = 20.0;
    let expected = Reply {
        outcomes: vec![
            Outcome::Answered,
            Outcome::Failed("no star".to_owned()),
            Outcome::Answered,
        ],
        x: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        log_likelihood: Some(vec![Some(-1.0), None, Some(-3.0)]),
        theta: vec![0.1, 0.2, 0.3],
        blobs: vec![10.0, 20.0, 30.0],
    };
    assert_eq!(reply, expected);
    let again = with("status", UInt8Array::from(vec![0, 2, 0]));
    let expected = Outcome::TryAgain("no star".to_owned());
    assert_eq!(read(&again).unwrap().outcomes[1], expected);
}

#[test]
fn the_order_of_columns_does_not_matter() {
    let mut turned = columns();
    turned.reverse();
    let outcomes = read(&stream_of(turned)).unwrap().outcomes;
    assert_eq!(outcomes, read(&stream_of(columns())).unwrap().outcomes);
}

#[test]
fn the_end_of_the_stream_ends_the_child() {
    let bytes = stream_of(columns());
    let mut reader = AnswerReader::new(Cursor::new(bytes), shape());
    assert!(reader.reply(ASKED).is_ok());
    assert_eq!(reader.reply(ASKED), Err(NoReply::Ended));
}

#[test]
fn columns_that_are_missing_or_of_another_type_are_told() {
    let without = |name| {
        let mut columns = columns();
        columns.retain(|(found, _)| *found != name);
        nonsense(&stream_of(columns))
    };
    assert_eq!(without("x"), "found no column x in the answers");
    assert_eq!(
        without("log_likelihood"),
        "found no column log_likelihood in the answers"
    );
    let mut more = columns();
    more.push(("more", Arc::new(UInt8Array::from(vec![0, 0, 0]))));
    assert_eq!(
        nonsense(&stream_of(more)),
        "the answers have 8 columns, expected 7"
    );
    assert_eq!(
        nonsense(&with("status", Float64Array::from(vec![0.0; 3]))),
        "the answers' column status is of type Float64, expected UInt8"
    );
    let mut wide = columns();
    wide[1].1 = x(vec![0.0; 9], 3);
    let message = nonsense(&stream_of(wide));
    assert!(
        message.starts_with("the answers' column x is of type FixedSizeList(3"),
        "{message}"
    );
}

#[test]
fn answers_to_other_questions_are_told() {
    assert_eq!(
        nonsense(&with("row_id", UInt64Array::from(vec![7, 9, 8]))),
        "found the answer of row 9, expected that of row 8"
    );
    assert_eq!(
        nonsense(&with(
            "row_id",
            UInt64Array::from(vec![Some(7), None, Some(9)])
        )),
        "found the answer of row null, expected that of row 8"
    );
    assert_eq!(
        nonsense(&with("status", UInt8Array::from(vec![0, 3, 0]))),
        "found the status 3, expected 0, 1 or 2"
    );
    let n_rows = ASKED.n_rows + 1;
    let asked = Asked { n_rows, ..ASKED };
    assert_eq!(
        AnswerReader::new(stream_of(columns()).as_slice(), shape()).reply(asked),
        Err(NoReply::nonsense("found 3 answers, expected 4"))
    );
}

#[test]
fn what_is_no_stream_is_told() {
    assert_eq!(
        nonsense(b"Hello, world"),
        "found the bytes [48, 65, 6c, 6c], expected the beginning of an Arrow message"
    );
    assert_eq!(
        nonsense(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        "found metadata of 2147483647 bytes, expected at most 1056768"
    );
    let mut zeros = vec![0xff, 0xff, 0xff, 0xff, 16, 0, 0, 0];
    zeros.extend([0xfe; 16]);
    assert_eq!(nonsense(&zeros), "found no Arrow message");
}

#[test]
fn no_more_memory_is_taken_than_the_rows_need() {
    let bytes = stream_of(columns());
    let reader = AnswerReader::new(bytes.as_slice(), shape());
    assert_eq!(
        reader.most_body_bytes(3),
        3 * (9 * 9 + 4_096) + 7 * 256 + (1 << 20)
    );
    let long = "long".repeat(1 << 20);
    let message = with(
        "message",
        StringArray::from(vec![None, Some(long.as_str()), None]),
    );
    let told = nonsense(&message);
    assert!(told.ends_with("bytes, expected at most 1062899"), "{told}");
}

#[test]
fn a_stream_that_is_cut_or_changed_anywhere_does_not_make_us_panic() {
    let bytes = stream_of(columns());
    for end in 0..bytes.len() - 8 {
        let cut = read(&bytes[..end]);
        assert_eq!(cut, Err(NoReply::Ended), "cut at {end}");
    }
    for place in 0..bytes.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[place] = value;
            // Whatever comes of it.
            let _ = read(&changed);
        }
    }
}
