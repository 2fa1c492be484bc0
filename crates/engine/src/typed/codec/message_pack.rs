//! MessagePack with field names, within the limits of `scan`.
//!
//! - I1: writing stops at most [`CHECK_BYTES`] bytes after a container too deep, so a long chain of nested
//!   values ends in an error instead of the end of the stack. (Serde collects a flattened struct apart; a chain
//!   of those is checked only when it is complete.)

use std::io::{self, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{CodecErrorKind, Fault};
use super::scan::{self, Scan};

const CHECK_BYTES: usize = 256;

/// Room for a small value without growing.
const START_BYTES: usize = 128;

pub(super) fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    let bytes = Vec::with_capacity(START_BYTES);
    let mut output = Output { bytes, scan: Scan::default(), check_at: CHECK_BYTES, wrong: None };
    let written = rmp_serde::encode::write_named(&mut output, value);
    let Output { bytes, mut scan, wrong, .. } = output;
    if let Some(kind) = wrong {
        return Err(kind.into());
    }
    written.map_err(|error| match error {
        rmp_serde::encode::Error::Syntax(words) => Fault::refused(words),
        error => Fault::refused(error.to_string()),
    })?;
    scan.advance(&bytes, true)?;
    scan.finish(&bytes)?;
    Ok(bytes)
}

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    scan::check(bytes)?;
    rmp_serde::from_slice(bytes).map_err(|error| match error {
        rmp_serde::decode::Error::Syntax(words) => Fault::refused(words),
        error => Fault::refused(error.to_string()),
    })
}

/// Bytes that are scanned while they come.
struct Output {
    bytes: Vec<u8>,
    scan: Scan,
    /// The length at which to scan again.
    check_at: usize,
    wrong: Option<CodecErrorKind>,
}

impl Output {
    #[cold]
    fn check(&mut self) -> io::Result<()> {
        self.check_at = self.bytes.len() + CHECK_BYTES;
        self.scan.advance(&self.bytes, false).map_err(|kind| {
            self.wrong = Some(kind);
            io::ErrorKind::InvalidData.into()
        })
    }
}

impl Write for Output {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= self.check_at {
            return self.check();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
