//! Reading columns: one row type for both databases, and only three kinds of values in it.
//!
//! Rule: what a column cannot be turned into is a [`StoreError::Corrupt`] that names the column, never a default.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{Any, ColumnIndex, Decode, Row, Type};

use super::StoreError;

/// Reads columns of a row.
pub trait Columns {
    /// The column as it is: `i64`, `String`, `Vec<u8>`, or an `Option` of these.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not of that type.
    fn value<'r, T: Decode<'r, Any> + Type<Any>>(&'r self, column: &'static str) -> Result<T, StoreError>;

    /// A `TEXT` column read as an id, an address or a word.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the text is not one.
    fn parsed<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError>;

    /// Like [`Columns::parsed`] for a column that may be NULL.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when there is a text that is not one.
    fn parsed_option<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError>;

    /// A `BIGINT` column that is 0 or 1.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not a number.
    fn switch(&self, column: &'static str) -> Result<bool, StoreError>;

    /// A `TEXT` column with JSON, or NULL.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the JSON is not that of the type.
    fn json_option<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, StoreError>;
}

impl Columns for AnyRow
where
    &'static str: ColumnIndex<AnyRow>,
{
    fn value<'r, T: Decode<'r, Any> + Type<Any>>(&'r self, column: &'static str) -> Result<T, StoreError> {
        self.try_get(column).map_err(|source| StoreError::Corrupt { column, source: Box::new(source) })
    }

    fn parsed<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        let text: String = self.value(column)?;
        text.parse().map_err(|source| StoreError::Corrupt { column, source: Box::new(source) })
    }

    fn parsed_option<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.value(column)?;
        text.map(|text| text.parse().map_err(|source| StoreError::Corrupt { column, source: Box::new(source) }))
            .transpose()
    }

    fn switch(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.value::<i64>(column)? != 0)
    }

    fn json_option<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.value(column)?;
        text.map(|text| {
            serde_json::from_str(&text).map_err(|source| StoreError::Corrupt { column, source: Box::new(source) })
        })
        .transpose()
    }
}
