//! What follows the cursor of HSCAN, SSCAN and ZSCAN.

use larder::ScanOptions;

use crate::args::Args;
use crate::error::CommandError;

/// Reads MATCH and COUNT from the fourth word on, and tells whether the one word that stands alone, `flag`, was among
/// them.
pub(super) fn member_scan(args: Args<'_>, flag: Option<&str>) -> Result<(ScanOptions, bool), CommandError> {
    let (mut options, mut flagged) = (ScanOptions::new(), false);
    let mut at = 3;
    while at < args.len() {
        if flag.is_some_and(|flag| args.is(at, flag)) {
            flagged = true;
            at += 1;
            continue;
        }
        let value = args.bytes(at + 1)?;
        if args.is(at, "COUNT") {
            let count = usize::try_from(args.int(at + 1)?).ok().filter(|&count| count > 0);
            options = options.count(count.ok_or_else(CommandError::syntax)?);
        } else if args.is(at, "MATCH") {
            options = options.matching(value);
        } else {
            return Err(CommandError::syntax());
        }
        at += 2;
    }
    Ok((options, flagged))
}
