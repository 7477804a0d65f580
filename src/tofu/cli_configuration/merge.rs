//! Putting the operator's items and our one block together.
//!
//! Rules: tofu's own order of files decides what wins; what tofu would find relative to the run's directory is
//! refused, because the configuration's author decides what is there.

use zeroize::Zeroizing;

use super::error::CliConfigurationError;
use super::item::{Item, Value};
use super::kept_tokens::KeptTokens;
use super::mirror;
use super::quoted::quote;
use super::source_file::SourceFile;
use crate::secret::Secret;

/// Of two files that set it, tofu takes the first.
const FIRST_WINS: &str = "plugin_cache_dir";

/// What the merged text is for.
pub(super) struct Merge<'a> {
    /// Which `credentials` blocks stay.
    pub(super) tokens: &'a KeptTokens,
    /// Whether the cache of providers stays.
    pub(super) keep_cache: bool,
    /// The only Docker-style file that is named; without it there is none.
    pub(super) docker_config: Option<&'a str>,
    /// The directory that stands in the place of an `oci_mirror`; without it such a block stays.
    pub(super) mirror: Option<&'a str>,
}

impl Merge<'_> {
    pub(super) fn text(&self, files: &[SourceFile]) -> Result<Secret, CliConfigurationError> {
        let mut kept: Vec<(&SourceFile, &Item)> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            for item in file.items.iter().filter(|item| self.keeps(item)) {
                check(file, item)?;
                let later = files.get(index + 1..).unwrap_or_default();
                if !is_replaced(item, later) && !is_set_before(file, item, &kept)? {
                    kept.push((file, item));
                }
            }
        }
        let json = !kept.is_empty() && kept.iter().all(|(file, _)| file.is_json);
        if json { Ok(self.json(&kept)) } else { self.native(&kept) }
    }

    fn keeps(&self, item: &Item) -> bool {
        let name = item.name();
        match name.as_str() {
            "credentials_helper" => false,
            "credentials" => self.tokens.has_of(item),
            "plugin_cache_dir" => self.keep_cache,
            _ => !name.starts_with("oci_"),
        }
    }

    fn native(&self, kept: &[(&SourceFile, &Item)]) -> Result<Secret, CliConfigurationError> {
        let mut text = with_room_for(kept);
        for (file, item) in kept {
            if file.is_json {
                self.write_credentials(&mut text, file, item)?;
            } else {
                self.write(&mut text, file, item);
                text.push('\n');
            }
        }
        text.push_str("oci_default_credentials {\n  docker_style_config_files = [");
        text.push_str(&self.docker_config.map(quote).unwrap_or_default());
        text.push_str("]\n}\n");
        Ok(Secret::new(text))
    }

    fn json(&self, kept: &[(&SourceFile, &Item)]) -> Secret {
        let mut text = with_room_for(kept);
        text.push_str("{\n");
        for (file, item) in kept {
            self.write(&mut text, file, item);
            text.push_str(",\n");
        }
        text.push_str("\"oci_default_credentials\": {\"docker_style_config_files\": [");
        text.push_str(&self.docker_config.map(quote).unwrap_or_default());
        text.push_str("]}\n}\n");
        Secret::new(text)
    }

    fn write(&self, text: &mut String, file: &SourceFile, item: &Item) {
        match self.mirror {
            Some(mirror) if item.name() == "provider_installation" => {
                text.push_str(&mirror::replaced(file, item, mirror));
            }
            _ if item.name() == "credentials" => self.write_blocks(text, file, item),
            _ => text.push_str(file.bytes(item)),
        }
    }

    /// A block of one host, or those that stay of an item that has several.
    fn write_blocks(&self, text: &mut String, file: &SourceFile, item: &Item) {
        let Some(blocks) = self.tokens.some_of(item) else { return text.push_str(file.bytes(item)) };
        text.push_str(match (file.is_json, item.assigned) {
            (true, _) => "\"credentials\": ",
            (false, true) => "credentials = ",
            (false, false) => "credentials ",
        });
        let (open, between, close) = match (&item.value, file.is_json) {
            (Value::List(_), _) => ("[{\n", "\n}, {\n", "\n}]"),
            (_, true) => ("{", ", ", "}"),
            (_, false) => ("{\n", "\n", "\n}"),
        };
        for (number, block) in blocks.into_iter().enumerate() {
            text.push_str(if number == 0 { open } else { between });
            text.push_str(file.bytes(block));
        }
        text.push_str(close);
    }

    /// The one thing that is translated from JSON: what `tofu login` writes (`credentials.tfrc.json`).
    fn write_credentials(
        &self,
        text: &mut String,
        file: &SourceFile,
        item: &Item,
    ) -> Result<(), CliConfigurationError> {
        let mixed = || CliConfigurationError::MixedSyntax { path: file.path.clone(), line: file.line(item) };
        if item.name() != "credentials" {
            return Err(mixed());
        }
        for host in item.value.items().into_iter().filter(|host| self.tokens.has(&host.keys[0])) {
            text.push_str("credentials ");
            text.push_str(&quote(&host.keys[0]));
            text.push_str(" {\n");
            for argument in host.value.items() {
                let value = file.text_of(&argument.value).ok_or_else(mixed)?;
                text.push_str("  ");
                text.push_str(&quote(&argument.keys[0]));
                text.push_str(" = ");
                text.push_str(&Zeroizing::new(quote(&value)));
                text.push('\n');
            }
            text.push_str("}\n");
        }
        Ok(())
    }
}

/// A string that need not grow: growing would leave copies of tokens behind.
fn with_room_for(kept: &[(&SourceFile, &Item)]) -> String {
    let bytes: usize = kept.iter().map(|(_, item)| item.range.len() * 2 + 64).sum();
    String::with_capacity(bytes + 8192)
}

/// Whether a later file has a block of the same name and label: tofu takes the later one whole.
fn is_replaced(item: &Item, later: &[SourceFile]) -> bool {
    let labelled = |item: &Item| !item.assigned && item.keys.len() > 1;
    labelled(item)
        && later
            .iter()
            .flat_map(|file| &file.items)
            .any(|other| labelled(other) && other.name() == item.name() && other.keys[1..] == item.keys[1..])
}

/// Whether an earlier file has set the same argument: once merged, tofu would refuse it.
fn is_set_before(file: &SourceFile, item: &Item, kept: &[(&SourceFile, &Item)]) -> Result<bool, CliConfigurationError> {
    let argument = item.name();
    let plain = |item: &Item| item.keys.len() == 1 && (item.assigned || !matches!(item.value, Value::Object(_)));
    let earlier = kept.iter().filter(|(other, _)| !std::ptr::eq(*other, file));
    if !plain(item) || !earlier.into_iter().any(|(_, other)| plain(other) && other.name() == argument) {
        return Ok(false);
    }
    if argument == FIRST_WINS {
        return Ok(true);
    }
    Err(CliConfigurationError::Twice { path: file.path.clone(), line: file.line(item), argument })
}

fn check(file: &SourceFile, item: &Item) -> Result<(), CliConfigurationError> {
    match item.name().as_str() {
        // tofu expands environment variables here, and only here.
        "plugin_cache_dir" => check_path(file, item, "plugin_cache_dir", &['/', '$']),
        "provider_installation" => {
            mirror::read(file, item)?;
            item.value.items().into_iter().try_for_each(|method| check_method(file, method))
        }
        _ => Ok(()),
    }
}

fn check_method(file: &SourceFile, method: &Item) -> Result<(), CliConfigurationError> {
    match method.name().as_str() {
        "filesystem_mirror" => method
            .value
            .items()
            .into_iter()
            .filter(|argument| argument.name() == "path")
            .try_for_each(|argument| check_path(file, argument, "filesystem_mirror", &['/'])),
        "dev_overrides" => method
            .value
            .items()
            .into_iter()
            .try_for_each(|argument| check_path(file, argument, "dev_overrides", &['/'])),
        _ => Ok(()),
    }
}

fn check_path(
    file: &SourceFile,
    item: &Item,
    argument: &'static str,
    allowed: &[char],
) -> Result<(), CliConfigurationError> {
    let fits = file.text_of(&item.value).is_none_or(|path| path.is_empty() || path.starts_with(allowed));
    if fits {
        return Ok(());
    }
    Err(CliConfigurationError::Relative { path: file.path.clone(), line: file.line(item), argument })
}
