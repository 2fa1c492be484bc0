//! Replies as values: for tests, for the interactive examples, for whoever calls in-process and wants no bytes.

use super::{Item, Protocol, ReplySink};

/// A reply as a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A short status.
    Simple(String),
    /// An error with its code. Bytes, because it may quote the caller.
    Error(Vec<u8>),
    /// An integer.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Nothing.
    Null,
    /// Nothing in the place of an array (RESP2 tells the two apart).
    NullArray,
    /// Items in order.
    Array(Vec<Reply>),
    /// Pairs in the order in which they were written.
    Map(Vec<(Reply, Reply)>),
    /// Items without order.
    Set(Vec<Reply>),
    /// An out-of-band message.
    Push(Vec<Reply>),
    /// A number with a fraction.
    Double(f64),
    /// A number with a fraction, in digits of its own.
    Decimal(String),
    /// Yes or no.
    Boolean(bool),
    /// An integer of any size, in digits.
    BigNumber(String),
    /// Text with its format.
    Verbatim(String, Vec<u8>),
}

impl Reply {
    /// Writes this reply into a sink, which degrades what its protocol does not have.
    pub fn write(&self, sink: &mut dyn ReplySink) {
        match self {
            Self::Simple(text) => sink.simple(text),
            Self::Error(text) => sink.error_bytes(text),
            Self::Integer(number) => sink.integer(*number),
            Self::Bulk(bytes) => sink.bulk(bytes),
            Self::Null => sink.null(),
            Self::NullArray => sink.null_array(),
            Self::Array(items) => {
                sink.array(items.len());
                items.iter().for_each(|item| item.write(sink));
            }
            Self::Set(items) => {
                sink.set(items.len());
                items.iter().for_each(|item| item.write(sink));
            }
            Self::Push(items) => {
                sink.push(items.len());
                items.iter().for_each(|item| item.write(sink));
            }
            Self::Map(pairs) => {
                sink.map(pairs.len());
                for (key, value) in pairs {
                    key.write(sink);
                    value.write(sink);
                }
            }
            Self::Double(number) => sink.double(*number),
            Self::Decimal(digits) => sink.decimal(digits),
            Self::Boolean(yes) => sink.boolean(*yes),
            Self::BigNumber(digits) => sink.big_number(digits),
            Self::Verbatim(format, text) => sink.verbatim(format, text),
        }
    }
}

/// What an aggregate will be.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Array,
    Map,
    Set,
    Push,
}

#[derive(Debug)]
struct Open {
    shape: Shape,
    missing: usize,
    items: Vec<Reply>,
}

impl Open {
    fn close(self) -> Reply {
        match self.shape {
            Shape::Array => Reply::Array(self.items),
            Shape::Set => Reply::Set(self.items),
            Shape::Push => Reply::Push(self.items),
            Shape::Map => {
                let mut items = self.items.into_iter();
                let mut pairs = Vec::with_capacity(items.len() / 2);
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                Reply::Map(pairs)
            }
        }
    }
}

/// Collects replies as values.
#[derive(Debug, Default)]
pub struct Tree {
    protocol: Protocol,
    done: Vec<Reply>,
    open: Vec<Open>,
}

impl Tree {
    /// Makes an empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the replies that are complete, and forgets them.
    pub fn take(&mut self) -> Vec<Reply> {
        std::mem::take(&mut self.done)
    }

    /// Returns the first reply that is complete, and forgets all of them.
    pub fn take_one(&mut self) -> Option<Reply> {
        self.take().into_iter().next()
    }

    /// Whether an aggregate waits for items.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    fn begin(&mut self, shape: Shape, items: usize) {
        self.open.push(Open { shape, missing: items, items: Vec::new() });
        self.close_full();
    }

    fn add(&mut self, reply: Reply) {
        match self.open.last_mut() {
            Some(open) => {
                open.items.push(reply);
                open.missing = open.missing.saturating_sub(1);
            }
            None => self.done.push(reply),
        }
    }

    fn close_full(&mut self) {
        while self.open.last().is_some_and(|open| open.missing == 0) {
            let Some(open) = self.open.pop() else { return };
            self.add(open.close());
        }
    }
}

impl ReplySink for Tree {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn put(&mut self, item: Item<'_>) {
        let reply = match item {
            Item::Array(len) => return self.begin(Shape::Array, len),
            Item::Map(len) => return self.begin(Shape::Map, len.saturating_mul(2)),
            Item::Set(len) => return self.begin(Shape::Set, len),
            Item::Push(len) => return self.begin(Shape::Push, len),
            Item::Simple(text) => Reply::Simple(String::from_utf8_lossy(text).into_owned()),
            Item::Error(text) => Reply::Error(text.to_vec()),
            Item::Integer(number) => Reply::Integer(number),
            Item::Bulk(bytes) => Reply::Bulk(bytes.to_vec()),
            Item::Null => Reply::Null,
            Item::NullArray => Reply::NullArray,
            Item::Double(number) => Reply::Double(number),
            Item::Decimal(digits) => Reply::Decimal(digits.to_owned()),
            Item::Boolean(yes) => Reply::Boolean(yes),
            Item::BigNumber(digits) => Reply::BigNumber(digits.to_owned()),
            Item::Verbatim(format, text) => Reply::Verbatim(format.to_owned(), text.to_vec()),
        };
        self.add(reply);
        self.close_full();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_close_when_they_are_full() {
        let whole = Reply::Array(vec![
            Reply::Array(vec![]),
            Reply::Map(vec![(Reply::Bulk(b"k".to_vec()), Reply::Set(vec![Reply::Integer(1)]))]),
            Reply::Double(0.5),
        ]);
        let mut tree = Tree::new();
        tree.set_protocol(Protocol::Resp3);
        whole.write(&mut tree);
        assert!(!tree.is_open());
        assert_eq!(tree.take_one(), Some(whole.clone()));
        tree.set_protocol(Protocol::Resp2);
        whole.write(&mut tree);
        let flat = Reply::Array(vec![Reply::Bulk(b"k".to_vec()), Reply::Array(vec![Reply::Integer(1)])]);
        let half = Reply::Bulk(b"0.5".to_vec());
        assert_eq!(tree.take_one(), Some(Reply::Array(vec![Reply::Array(vec![]), flat, half])));
        tree.array(1);
        assert!(tree.is_open() && tree.take().is_empty());
    }
}
