//! The files of `static/`, embedded, and the theme made from the operator's colours.

use bytes::Bytes;

use crate::base::digest::Digest;
use crate::config::section::Branding;
use crate::http::page::theme_css;

const STYLE_SHEET: &str = "text/css; charset=utf-8";

/// The embedded files: name under `/static/`, `Content-Type`, content.
const FILES: [(&str, &str, &[u8]); 2] = [
    ("pages.css", STYLE_SHEET, include_bytes!("../../static/pages.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("../../static/icon.svg")),
];

/// A file to be served. The pages name files without a version, so answer with `Cache-Control: no-cache` and the tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The content.
    pub bytes: Bytes,
    /// A strong `ETag` with its quotation marks: a digest of the content.
    pub etag: String,
}

impl Asset {
    fn new(content_type: &'static str, bytes: Bytes) -> Self {
        let etag = format!("\"{}\"", Digest::of_bytes(&bytes).base64url());
        Self { content_type, bytes, etag }
    }
}

/// The embedded file `path`, counted from `/static/`. The theme is not among them: see [`theme`].
#[must_use]
pub fn find(path: &str) -> Option<Asset> {
    let (_, content_type, content) = FILES.into_iter().find(|(name, _, _)| *name == path)?;
    Some(Asset::new(content_type, Bytes::from_static(content)))
}

/// `/static/theme.css` for `branding`. It changes with the configuration only: make it once, when that is loaded.
#[must_use]
pub fn theme(branding: &Branding) -> Asset {
    Asset::new(STYLE_SHEET, Bytes::from(theme_css(branding)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_a_page_names_is_there() {
        let base = include_str!("../../templates/base.html");
        let named: Vec<_> =
            base.split("\"{{ base }}/static/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(named, ["icon.svg", "pages.css", "theme.css"]);
        for name in named.into_iter().filter(|name| *name != "theme.css") {
            assert!(find(name).is_some_and(|asset| !asset.bytes.is_empty()), "{name}");
        }
    }

    #[test]
    fn only_embedded_files_are_found() {
        for path in ["", "/pages.css", "../Cargo.toml", "pages.css/", "PAGES.CSS"] {
            assert_eq!(find(path), None, "{path:?}");
        }
    }

    #[test]
    fn the_tag_follows_the_content() {
        let (style, icon) = (find("pages.css").unwrap(), find("icon.svg").unwrap());
        assert_eq!(find("pages.css"), Some(style.clone()));
        assert_ne!(style.etag, icon.etag);
        assert!(style.etag.starts_with('"') && style.etag.ends_with('"') && style.etag.len() == 45);
    }
}
