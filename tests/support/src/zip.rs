//! A zip archive, written by hand.
//!
//! Rule: entries are stored, not compressed, and dated 1980, so that the same files give the same bytes.

/// One file of an archive.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its path.
    pub path: &'a str,
    /// What is in it.
    pub content: &'a [u8],
    /// Whether it is a program (0755) or not (0644).
    pub is_program: bool,
}

/// A zip archive (APPNOTE 6.3.3) of these files.
pub fn stored(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for Entry { path, content, is_program } in entries {
        let offset = length(archive.len());
        let size = length(content.len());
        let mut common = Vec::new();
        // Version 2.0, UTF-8 names, stored, 1980-01-01 00:00.
        common.extend([20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0]);
        common.extend(checksum(content).to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(short(path.len()).to_le_bytes());
        common.extend([0, 0]);

        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(path.as_bytes());
        archive.extend(*content);

        // Made on Unix; no comment, disk 0, no internal attributes.
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 6]);
        let mode: u32 = if *is_program { 0o100_755 } else { 0o100_644 };
        directory.extend((mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(path.as_bytes());
    }
    let start = length(archive.len());
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend(short(entries.len()).to_le_bytes());
    archive.extend(short(entries.len()).to_le_bytes());
    archive.extend(length(directory.len()).to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

/// CRC-32 as zip uses it.
fn checksum(bytes: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|index| {
        let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        (0..8).fold(u32::try_from(index).unwrap_or_default(), step)
    });
    // A provider has some ten megabytes.
    let step = |crc: u32, byte: &u8| table[usize::from((crc.to_le_bytes()[0]) ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(u32::MAX, step)
}

fn length(value: usize) -> u32 {
    u32::try_from(value).unwrap_or_else(|_| unreachable!("what tests pack is small"))
}

fn short(value: usize) -> u16 {
    u16::try_from(value).unwrap_or_else(|_| unreachable!("what tests pack is small"))
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn checksum_is_the_published_one() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }
}
