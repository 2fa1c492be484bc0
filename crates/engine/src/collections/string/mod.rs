//! What the string commands compute, on plain byte slices.
//!
//! - [`number`]: integers and doubles in Redis's text form.
//! - [`long_double`]: the arithmetic of INCRBYFLOAT and HINCRBYFLOAT.
//! - [`lcs`]: the longest common subsequence of LCS.
//!
//! Storage, expiry and the change of a value in place belong to the keyspace.

pub(crate) mod lcs;
pub(crate) mod long_double;
mod natural;
pub(crate) mod number;
