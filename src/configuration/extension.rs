//! Extension headers of an archive: long names (GNU `L`) and PAX records (`x`, `g`).
//!
//! Rule: what they say is taken only where no two readers can disagree: a path, once. A size that differs from the
//! header's, sparse maps and anything doubled are refused (this is how archives are made that look different to the
//! checker and to the extractor).

use super::ArchiveError;

/// Longest GNU long name with its NUL, in bytes: beyond any path that is allowed.
pub(super) const LONG_NAME_MAX: u64 = 4096;
/// Largest PAX header, in bytes.
pub(super) const PAX_MAX: u64 = 64 << 10;

/// What the extension headers before an entry say about it.
#[derive(Debug, Default)]
pub(super) struct Extension {
    /// The entry's name instead of the one in its header.
    pub(super) path: Option<Vec<u8>>,
    /// Its size, to be compared with the header's.
    pub(super) size: Option<u64>,
    seen_long_name: bool,
    seen_pax: bool,
}

impl Extension {
    /// Whether there was any.
    pub(super) fn is_pending(&self) -> bool {
        self.seen_long_name || self.seen_pax
    }

    /// Takes a GNU long name: the name with its NUL.
    pub(super) fn long_name(&mut self, content: &[u8]) -> Result<(), ArchiveError> {
        if self.seen_long_name || self.path.is_some() {
            return Err(ArchiveError::Malformed("an entry is named twice"));
        }
        self.seen_long_name = true;
        let name = content.strip_suffix(&[0]).unwrap_or(content);
        self.path = Some(name.to_vec());
        Ok(())
    }

    /// Takes the records of a PAX header for the next entry.
    pub(super) fn local(&mut self, content: &[u8]) -> Result<(), ArchiveError> {
        if self.seen_pax {
            return Err(ArchiveError::Malformed("an entry has two PAX headers"));
        }
        self.seen_pax = true;
        for record in Records(content) {
            let (key, value) = record?;
            match key {
                b"path" if self.path.is_some() => return Err(ArchiveError::Malformed("an entry is named twice")),
                b"path" => self.path = Some(value.to_vec()),
                b"size" if self.size.is_some() => return Err(ArchiveError::Malformed("an entry has two sizes")),
                b"size" => self.size = Some(number(value)?),
                _ if key.starts_with(b"GNU.sparse.") => return Err(ArchiveError::Malformed("a file is sparse")),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Checks a PAX header for all following entries: a comment (as `git archive` writes it) may be there, nothing that
/// says where or how large an entry is.
pub(super) fn check_global(content: &[u8]) -> Result<(), ArchiveError> {
    for record in Records(content) {
        let (key, _) = record?;
        if matches!(key, b"path" | b"size" | b"linkpath" | b"hdrcharset") || key.starts_with(b"GNU.sparse.") {
            return Err(ArchiveError::Malformed("a global PAX header names or sizes entries"));
        }
    }
    Ok(())
}

fn number(value: &[u8]) -> Result<u64, ArchiveError> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = if digits { std::str::from_utf8(value).ok() } else { None };
    text.and_then(|text| text.parse().ok()).ok_or(ArchiveError::Malformed("a PAX size is not a number"))
}

/// Records `LENGTH KEY=VALUE\n`, cut by their length and not by line ends.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = take_record(self.0);
        if let Some((_, _, rest)) = record {
            self.0 = rest;
        } else {
            self.0 = &[];
        }
        Some(record.map(|(key, value, _)| (key, value)).ok_or(ArchiveError::Malformed("a PAX record is broken")))
    }
}

fn take_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(12).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&bytes[..space]).ok()?).ok()?;
    if length <= space + 1 {
        return None;
    }
    let record = bytes.get(..length)?;
    let body = record[space + 1..].strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    Some((&body[..equals], &body[equals + 1..], &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::{Extension, check_global};

    #[test]
    fn a_path_may_hold_what_looks_like_another_record() {
        let mut extension = Extension::default();
        extension.local(b"21 path=a\n9 size=5\nb\n12 comment=\n").unwrap();
        assert_eq!(extension.path.as_deref(), Some(&b"a\n9 size=5\nb"[..]));
        assert_eq!(extension.size, None);
    }

    #[test]
    fn broken_doubled_and_sparse_records_are_refused() {
        for content in [
            &b"x"[..],
            b"5 a=b",
            b"6 a=b\nrest",
            b"0 a=b\n",
            b"2 \n",
            b"+6 a=b\n",
            b"99999999999999999999 a=b\n",
            b"9 path=a\n9 path=b\n",
            b"9 size=1\n9 size=2\n",
            b"10 size=-1\n",
            b"25 GNU.sparse.realsize=1\n",
        ] {
            assert!(Extension::default().local(content).is_err(), "{:?}", String::from_utf8_lossy(content));
        }
        let mut twice = Extension::default();
        twice.long_name(b"a\0").unwrap();
        assert!(twice.local(b"9 path=b\n").is_err());
    }

    #[test]
    fn a_global_header_may_only_comment() {
        check_global(b"52 comment=1234567890123456789012345678901234567890\n").unwrap();
        assert!(check_global(b"9 path=a\n").is_err());
        assert!(check_global(b"9 size=1\n").is_err());
    }
}
