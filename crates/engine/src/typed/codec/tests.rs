//! The codec from outside: golden bytes of each form, round trips, and bytes that mean harm.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU64;

use proptest::prelude::*;
use serde::de::{Deserializer, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use super::CodecErrorKind::{
    FormMismatch, IntegerOutOfRange, Malformed, NotAFloat, NotANumber, NotAnInteger, NotText, Refused,
    TooDeep, TrailingBytes, Truncated,
};
use super::{CodecErrorKind, Element, Form, decode, encode, encode_into, encode_with, form};
use crate::collections::string::number::parse_i64;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct UserId(u64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Outer(Inner);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Inner {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: UserId,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mail: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    score: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(u32),
    Line(i8, i8),
    Named { id: u16 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    One { value: u8 },
    Two,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Any {
    Number(i64),
    Text(String),
    List(Vec<Any>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    more: BTreeMap<String, u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Node {
    next: Option<Box<Self>>,
}

/// A byte buffer in the sense of serde, like `bytes::Bytes`.
#[derive(Debug, Clone, PartialEq)]
struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

fn comes_back<T: Element + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = encode(value).expect("it can be encoded");
    assert_eq!(&decode::<T>(&bytes).expect("what was encoded decodes"), value);
    let mut appended = b"before".to_vec();
    encode_into(value, &mut appended).expect("it can be encoded");
    assert_eq!(appended, [b"before".as_slice(), &bytes].concat());
    assert_eq!(encode_with(value, <[u8]>::len), Ok(bytes.len()));
}

fn golden<T: Element + PartialEq + std::fmt::Debug>(value: T, bytes: &[u8], expected: Form) {
    assert_eq!(form::<T>(), expected);
    assert_eq!(encode(&value).as_deref(), Ok(bytes), "{value:?}");
    comes_back(&value);
}

fn fails<T: Element>(bytes: &[u8]) -> CodecErrorKind {
    decode::<T>(bytes).err().expect("it must be refused").kind()
}

#[test]
fn golden_bytes_of_scalars() {
    golden(7_u8, b"7", Form::Integer);
    golden(u64::MAX, b"18446744073709551615", Form::Integer);
    golden(i64::MIN, b"-9223372036854775808", Form::Integer);
    golden(i128::MIN, b"-170141183460469231731687303715884105728", Form::Integer);
    golden(u128::MAX, b"340282366920938463463374607431768211455", Form::Integer);
    golden(NonZeroU64::MIN, b"1", Form::Integer);
    golden(UserId(7), b"7", Form::Integer);
    golden(3.0_f64, b"3", Form::Float);
    golden(0.1_f64, b"0.1", Form::Float);
    golden(0.1_f32, b"0.1", Form::Float);
    golden(1e25_f64, b"1e+25", Form::Float);
    golden(f64::NEG_INFINITY, b"-inf", Form::Float);
    golden("alice".to_owned(), b"alice", Form::Text);
    golden(String::new(), b"", Form::Text);
    golden(Box::<str>::from("b"), b"b", Form::Text);
    golden(Cow::<'static, str>::from("c"), b"c", Form::Text);
    golden('\u{e9}', b"\xc3\xa9", Form::Text);
    golden(Outer(Inner { name: "n".to_owned() }), b"n", Form::Text);
    golden(IpAddr::from([127, 0, 0, 1]), b"127.0.0.1", Form::Text);
    golden(Blob(vec![0, 255, 1]), b"\x00\xff\x01", Form::Bytes);
}

#[test]
fn golden_bytes_of_messagepack() {
    golden(true, b"\xc3", Form::MessagePack);
    golden((), b"\xc0", Form::MessagePack);
    golden(None::<u64>, b"\xc0", Form::MessagePack);
    golden(Some(5_u64), b"\x05", Form::MessagePack);
    golden((1_u8, "a".to_owned()), b"\x92\x01\xa1a", Form::MessagePack);
    golden(vec![1_u8, 200], b"\x92\x01\xcc\xc8", Form::MessagePack);
    golden([1_u8, 2], b"\x92\x01\x02", Form::MessagePack);
    golden(BTreeMap::from([(1_u8, true)]), b"\x81\x01\xc3", Form::MessagePack);
    golden(Shape::Empty, b"\xa5Empty", Form::MessagePack);
    golden(Shape::Circle(3), b"\x81\xa6Circle\x03", Form::MessagePack);
    golden(Shape::Line(-1, 1), b"\x81\xa4Line\x92\xff\x01", Form::MessagePack);
    golden(Shape::Named { id: 9 }, b"\x81\xa5Named\x81\xa2id\x09", Form::MessagePack);
    golden(Tagged::One { value: 1 }, b"\x82\xa4kind\xa3One\xa5value\x01", Form::MessagePack);
    golden(Any::Number(1), b"\x01", Form::MessagePack);
    golden(Node { next: None }, b"\x81\xa4next\xc0", Form::MessagePack);
    let user = User { id: UserId(1), name: "a".into(), mail: None, tags: vec![], score: 0.5 };
    let bytes = b"\x83\xa2id\x01\xa4name\xa1a\xa5score\xcb\x3f\xe0\0\0\0\0\0\0";
    golden(user.clone(), bytes, Form::MessagePack);
    comes_back(&User { mail: Some("m".into()), ..user.clone() });
    comes_back(&User { tags: vec!["t".into()], ..user });
    comes_back(&Flat { id: 1, more: BTreeMap::from([("x".into(), 2)]) });
    comes_back(&Tagged::Two);
    comes_back(&Any::List(vec![Any::Number(1), Any::Text("x".into()), Any::List(vec![])]));
}

#[test]
fn incr_works_on_a_typed_integer() {
    for value in [0, 7, -1, i64::MIN, i64::MAX] {
        assert_eq!(parse_i64(&encode(&value).expect("an integer")), Some(value));
    }
    assert_eq!(decode::<u64>(b"42").map_err(|error| error.kind()), Ok(42));
}

#[test]
fn scalars_refuse_other_bytes() {
    for bytes in [b"".as_slice(), b"x", b"+1", b"01", b" 1", b"1 ", b"-0", b"1.0", b"\x07"] {
        assert_eq!(fails::<u64>(bytes), NotAnInteger);
        assert_eq!(fails::<i64>(bytes), NotAnInteger);
        assert_eq!(fails::<i128>(bytes), NotAnInteger);
    }
    assert_eq!(fails::<u8>(b"123x"), NotAnInteger);
    assert_eq!(fails::<u8>(b"256"), IntegerOutOfRange);
    assert_eq!(fails::<u8>(b"-1"), IntegerOutOfRange);
    assert_eq!(fails::<i64>(b"9223372036854775808"), IntegerOutOfRange);
    assert_eq!(fails::<u64>(b"99999999999999999999999999"), IntegerOutOfRange);
    assert_eq!(fails::<NonZeroU64>(b"0"), Refused);
    assert_eq!(fails::<f64>(b"nan"), NotAFloat);
    assert_eq!(fails::<f64>(b"1.5 "), NotAFloat);
    assert_eq!(fails::<f64>(b""), NotAFloat);
    assert_eq!(decode(b"5.0e3"), Ok(5_000.0_f64));
    assert_eq!(fails::<String>(b"\xff"), NotText);
    assert_eq!(fails::<char>(b"ab"), Refused);
    assert_eq!(fails::<IpAddr>(b"localhost"), Refused);
    for nan in [f64::NAN, -f64::NAN] {
        assert_eq!(encode(&nan).map_err(|error| error.kind()), Err(NotANumber));
    }
}

#[test]
fn messagepack_is_read_as_a_whole() {
    assert_eq!(fails::<bool>(b""), Truncated);
    assert_eq!(fails::<bool>(b"\xc3\xc3"), TrailingBytes);
    assert_eq!(fails::<Option<u8>>(b"123"), TrailingBytes);
    assert_eq!(fails::<Vec<u8>>(b"\xdd\xff\xff\xff\xff"), Truncated);
    assert_eq!(fails::<Vec<()>>(b"\xdd\xff\xff\xff\xff\xc0"), Truncated);
    assert_eq!(fails::<BTreeMap<u8, u8>>(b"\xdf\xff\xff\xff\xff\x01"), Truncated);
    assert_eq!(fails::<Vec<u8>>(b"\xc1"), Malformed);
    assert_eq!(fails::<(u8, u8)>(b"\x93\x01\x02\x03"), Refused);
    assert_eq!(fails::<(u8, u8)>(b"\x91\x01"), Refused);
    assert_eq!(fails::<User>(b"\x81\xa2id\x01"), Refused);
    assert_eq!(fails::<Vec<u8>>(b"\x91\xcd\x01\x00"), Refused);
}

#[test]
fn depth_is_the_same_both_ways() {
    let chain =
        |length: usize| (1..length).fold(Node { next: None }, |n, _| Node { next: Some(Box::new(n)) });
    comes_back(&chain(32));
    assert_eq!(encode(&chain(33)).map_err(|error| error.kind()), Err(TooDeep));
    assert_eq!(encode(&chain(5_000)).map_err(|error| error.kind()), Err(TooDeep));
    let deep = [b"\x81\xa4next".repeat(33), vec![0xc0]].concat();
    assert_eq!(fails::<Node>(&deep), TooDeep);
    assert_eq!(fails::<Any>(&[vec![0x91; 100_000], vec![0xc0]].concat()), TooDeep);
}

/// Makes a type that asks for one thing and writes another.
macro_rules! two_faced {
    ($name:ident: reads $read:ty, writes $value:expr) => {
        #[derive(Debug, PartialEq)]
        struct $name;
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $value.serialize(serializer)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$read>::deserialize(deserializer).map(|_| Self)
            }
        }
    };
}

two_faced!(IntegerAsText: reads u64, writes "7");
two_faced!(TextAsInteger: reads String, writes 7);
two_faced!(IntegerAsFloat: reads u64, writes 7.0);
two_faced!(FloatAsInteger: reads f64, writes 7);
two_faced!(TextAsBytes: reads String, writes Blob(vec![1]));
two_faced!(BytesAsSequence: reads Blob, writes vec![1_u8]);
two_faced!(TextAsStruct: reads String, writes Node { next: None });
two_faced!(TextAsOption: reads String, writes Some("x"));
two_faced!(IntegerAsVariant: reads u64, writes Shape::Circle(1));
two_faced!(IntegerAsUnit: reads u64, writes ());

#[test]
fn a_type_that_disagrees_with_itself_is_refused() {
    fn refused<T: Element>(value: &T) {
        assert_eq!(encode(value).map_err(|error| error.kind()), Err(FormMismatch));
    }
    refused(&IntegerAsText);
    refused(&TextAsInteger);
    refused(&IntegerAsFloat);
    refused(&FloatAsInteger);
    refused(&TextAsBytes);
    refused(&BytesAsSequence);
    refused(&TextAsStruct);
    refused(&TextAsOption);
    refused(&IntegerAsVariant);
    refused(&IntegerAsUnit);
}

/// A sequence that announces one item more than it writes.
#[derive(Debug, Deserialize)]
struct Short(#[expect(dead_code, reason = "never made")] Vec<u8>);

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(Some(2))?;
        items.serialize_element(&1)?;
        items.end()
    }
}

#[test]
fn a_wrong_length_is_found_when_it_is_written() {
    let mut bytes = b"before".to_vec();
    assert_eq!(encode_into(&Short(vec![]), &mut bytes).map_err(|error| error.kind()), Err(Truncated));
    assert_eq!(bytes, b"before");
}

#[derive(Debug, Deserialize)]
struct Stubborn(#[expect(dead_code, reason = "never made")] u8);

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[test]
fn errors_say_the_type_and_the_reason() {
    let error = encode(&Stubborn(1)).expect_err("it always refuses");
    assert!(error.type_name().ends_with("Stubborn"));
    assert_eq!(error.detail(), Some("not today"));
    assert_eq!(error.to_string(), format!("{}: refused by the type itself: not today", error.type_name()));
    let error = decode::<u8>(b"300").expect_err("out of range");
    assert_eq!(error.to_string(), "u8: the stored integer is out of range");
    assert_eq!(error.detail(), None);
}

fn any_user() -> impl Strategy<Value = User> {
    let tags = proptest::collection::vec(".{0,4}", 0..3);
    (any::<u64>(), ".*", proptest::option::of(".{0,9}"), tags, -1e9..1e9)
        .prop_map(|(id, name, mail, tags, score)| User { id: UserId(id), name, mail, tags, score })
}

fn any_tree() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![any::<i64>().prop_map(Any::Number), ".{0,40}".prop_map(Any::Text)];
    leaf.prop_recursive(6, 40, 5, |inner| proptest::collection::vec(inner, 0..5).prop_map(Any::List))
}

proptest! {
    #[test]
    fn integers_come_back(a: u8, b: i16, c: u32, d: i64, e: u128, f: i128) {
        comes_back(&a);
        comes_back(&b);
        comes_back(&c);
        comes_back(&d);
        comes_back(&e);
        comes_back(&f);
        comes_back(&(a, b, c, d, e, f));
    }

    #[test]
    fn other_scalars_come_back(double in proptest::num::f64::NORMAL, single in proptest::num::f32::ANY,
                               text: String, letter: char, bytes: Vec<u8>) {
        comes_back(&double);
        if !single.is_nan() {
            comes_back(&single);
        }
        comes_back(&text);
        comes_back(&letter);
        comes_back(&bytes);
        comes_back(&Blob(bytes.clone()));
        comes_back(&vec![Some(Blob(bytes)), None]);
    }

    #[test]
    fn structures_come_back(user in any_user(), users in proptest::collection::vec(any_user(), 0..4),
                            tree in any_tree(), map: BTreeMap<String, Option<i8>>) {
        comes_back(&user);
        comes_back(&users);
        comes_back(&tree);
        comes_back(&map);
        comes_back(&(Some(user), [Shape::Line(1, 2), Shape::Empty]));
    }

    #[test]
    fn hostile_bytes_do_no_harm(bytes: Vec<u8>) {
        // Whatever decodes is a value like any other.
        fn harmless<T: Element + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
            if let Ok(value) = decode::<T>(bytes) {
                comes_back(&value);
            }
        }
        harmless::<u64>(&bytes);
        harmless::<f64>(&bytes);
        harmless::<String>(&bytes);
        harmless::<Blob>(&bytes);
        harmless::<Vec<u8>>(&bytes);
        harmless::<Vec<()>>(&bytes);
        harmless::<BTreeMap<String, Vec<u16>>>(&bytes);
        harmless::<User>(&bytes);
        harmless::<Shape>(&bytes);
        harmless::<Any>(&bytes);
        harmless::<Node>(&bytes);
    }

    #[test]
    fn damaged_bytes_do_no_harm(user in any_user(), at: proptest::sample::Index, byte: u8) {
        let mut bytes = encode(&user).expect("a user");
        let at = at.index(bytes.len());
        prop_assert!(decode::<User>(&bytes[..at]).is_err());
        bytes[at] = byte;
        if let Ok(value) = decode::<User>(&bytes) {
            if !value.score.is_nan() {
                comes_back(&value);
            }
        }
    }
}
