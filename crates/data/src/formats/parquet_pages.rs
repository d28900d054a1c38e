//! The pages of a column of a Parquet file.

use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

/// Pages whose dictionaries are complete. The library reserves memory for as many values as a dictionary claims to have
/// before it reads them, so a damaged number would take any amount.
pub(super) struct CheckedPages(pub(super) Box<dyn PageReader>);

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.0.get_next_page()?;
        if let Some(Page::DictionaryPage { buf, num_values, .. }) = &page {
            // Each value of the columns that are read takes four bytes or more: a number, or the length of a text.
            if *num_values as usize > buf.len() / 4 {
                let problem =
                    format!("a dictionary of {num_values} values has {} bytes", buf.len());
                return Err(ParquetError::General(problem));
            }
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.0.at_record_boundary()
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
