//! OpenTofu itself.
