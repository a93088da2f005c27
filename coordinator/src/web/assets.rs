//! What the pages need beside HTML: one style sheet, an icon and a few ES modules, embedded in the program.
//!
//! Every asset lies below `/assets/{mark}/`, where the mark is a checksum of all of them: a new build has new addresses,
//! so browsers may keep what they have for ever, and modules find each other by relative names. For development the
//! files are read from a folder instead, under the mark `dev`, and nothing is kept.
//!
//! Known weakness: nothing is compressed; all of it together is less than one photograph.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The folder of all assets of one build.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const FRESH: HeaderValue = HeaderValue::from_static("no-store");

/// An asset as it was when the program was built.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    /// Returns the names of the modules that it imports before it runs.
    fn imports(&self) -> impl Iterator<Item = &'static str> {
        self.quoted_after("from \"./")
    }

    fn quoted_after(&self, words: &'static str) -> impl Iterator<Item = &'static str> {
        let text = std::str::from_utf8(self.bytes).unwrap_or_default();
        let quoted = text.split(words).skip(1);
        quoted.filter_map(|rest| rest.split('"').next())
    }
}

macro_rules! assets {
    ($($name:literal: $content_type:expr),* $(,)?) => {
        [$(Asset { name: $name, content_type: $content_type, bytes: include_bytes!(concat!("assets/", $name)) }),*]
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Every asset there is; nothing else is ever served, whatever lies in the folder.
static ASSETS: &[Asset] = &assets![
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "theme.js": SCRIPT,
    "shell.js": SCRIPT,
    "api.js": SCRIPT,
    "ask.js": SCRIPT,
    "format.js": SCRIPT,
    "palette.js": SCRIPT,
    "view.js": SCRIPT,
    "tiles.js": SCRIPT,
    "chart.js": SCRIPT,
    "paint.js": SCRIPT,
    "pointer.js": SCRIPT,
    "series.js": SCRIPT,
    "strips.js": SCRIPT,
    "minimap.js": SCRIPT,
    "panel.js": SCRIPT,
    "below.js": SCRIPT,
    "drawer.js": SCRIPT,
    "table.js": SCRIPT,
    "tabs.js": SCRIPT,
    "tasks.js": SCRIPT,
    "failures.js": SCRIPT,
    "log.js": SCRIPT,
    "lists.js": SCRIPT,
    "keys.js": SCRIPT,
    "jumps.js": SCRIPT,
    "address.js": SCRIPT,
    "steer.js": SCRIPT,
    "runs.js": SCRIPT,
    "run.js": SCRIPT,
    "page.js": SCRIPT,
    "compare.js": SCRIPT,
    "workers.js": SCRIPT,
    "new.js": SCRIPT,
    "yaml.js": SCRIPT,
];

/// Where assets come from.
#[derive(Clone, Debug)]
pub(super) struct Assets {
    mark: Arc<str>,
    folder: Option<Arc<Path>>,
}

impl Assets {
    /// Serves what is embedded, or what lies in a folder.
    pub(super) fn new(folder: Option<PathBuf>) -> Assets {
        let mark = match &folder {
            Some(_) => "dev".to_owned(),
            None => embedded_mark(),
        };
        Assets {
            mark: mark.into(),
            folder: folder.map(Arc::from),
        }
    }

    /// Returns the address of an asset.
    pub(super) fn url(&self, name: &str) -> String {
        format!("/assets/{}/{name}", self.mark)
    }

    /// Returns the addresses of the modules that a module imports, and those import: a page asks for all of them at once.
    pub(super) fn imports(&self, name: &str) -> Vec<String> {
        let mut found: Vec<&str> = Vec::new();
        let mut open = vec![name];
        while let Some(module) = open.pop() {
            let asset = ASSETS.iter().find(|asset| asset.name == module);
            for import in asset.into_iter().flat_map(Asset::imports) {
                if !found.contains(&import) {
                    found.push(import);
                    open.push(import);
                }
            }
        }
        found.into_iter().map(|name| self.url(name)).collect()
    }

    /// Answers a request for an asset.
    pub(super) async fn serve(&self, name: &str) -> Response {
        let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
            return (StatusCode::NOT_FOUND, "there is no such asset\n").into_response();
        };
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        match &self.folder {
            None => ([kind, (header::CACHE_CONTROL, IMMUTABLE)], asset.bytes).into_response(),
            Some(folder) => match tokio::fs::read(folder.join(asset.name)).await {
                Ok(bytes) => ([kind, (header::CACHE_CONTROL, FRESH)], bytes).into_response(),
                Err(error) => (StatusCode::NOT_FOUND, format!("failed to read the asset: {error}\n")).into_response(),
            },
        }
    }
}

fn embedded_mark() -> String {
    let mut sum = crc32fast::Hasher::new();
    for asset in ASSETS {
        sum.update(asset.name.as_bytes());
        sum.update(asset.bytes);
    }
    format!("{:08x}", sum.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_assets_together_stay_small() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(bytes <= 150_000, "{bytes} bytes");
    }

    #[test]
    fn every_module_that_is_imported_is_served() {
        for asset in ASSETS.iter().filter(|asset| asset.content_type == SCRIPT) {
            for name in asset.imports().chain(asset.quoted_after("import(\"./")) {
                assert!(
                    ASSETS.iter().any(|asset| asset.name == name),
                    "{} imports {name}",
                    asset.name
                );
            }
        }
    }

    #[test]
    fn a_page_asks_at_once_for_all_that_its_chart_needs_and_for_nothing_else() {
        let imports = Assets::new(None).imports("run.js");
        for name in ["chart.js", "tiles.js", "shell.js"] {
            assert_eq!(imports.iter().filter(|url| url.ends_with(name)).count(), 1, "{name}");
        }
        for name in ["new.js", "page.js", "strips.js", "tabs.js"] {
            assert!(!imports.iter().any(|url| url.ends_with(name)), "{name}");
        }
    }

    #[test]
    fn no_asset_asks_another_origin() {
        for asset in ASSETS {
            let text = String::from_utf8_lossy(asset.bytes);
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !elsewhere.contains("https://") && !elsewhere.contains("http://"),
                "{}",
                asset.name
            );
        }
    }

    #[tokio::test]
    async fn an_asset_may_be_kept_for_ever_and_names_outside_the_list_are_not_found() {
        let assets = Assets::new(None);
        let style = assets.serve("style.css").await;
        assert_eq!(style.headers()[header::CACHE_CONTROL], IMMUTABLE);
        assert_eq!(assets.serve("../style.css").await.status(), StatusCode::NOT_FOUND);
    }
}
