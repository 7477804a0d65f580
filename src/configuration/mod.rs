//! The uploaded directory: pack, check, unpack.
