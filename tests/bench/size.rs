//! Sizes of the binary.

use std::path::Path;

use crate::figures::{print, title};

/// Prints the size of the measured binary and, where it was built, of the shipped one.
pub(crate) fn report(nigari: &Path) {
    title("binary, MB (10⁶ bytes)");
    print("the one measured here (release)", format_args!("{}", megabytes(nigari)));
    let shipped = support::tools::target_directory().join("dist/nigari");
    if shipped.is_file() {
        print("shipped (profile dist)", format_args!("{}", megabytes(&shipped)));
    } else {
        print("shipped (profile dist)", format_args!("not built: cargo build --profile dist"));
    }
}

#[expect(clippy::cast_precision_loss, reason = "megabytes")]
fn megabytes(path: &Path) -> String {
    path.metadata().map_or("?".to_owned(), |metadata| format!("{:.2}", metadata.len() as f64 / 1e6))
}
