//! Reads the uris of a source: plain paths and `file://`.

use std::path::PathBuf;

use super::error::SourceError;

/// Returns the path that an uri names; it may be relative and may hold wildcards.
pub(super) fn path_of(uri: &str) -> Result<PathBuf, SourceError> {
    let Some((scheme, rest)) = uri.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        return Ok(PathBuf::from(uri));
    };
    if !scheme.eq_ignore_ascii_case("file") {
        return Err(SourceError::UnknownScheme {
            uri: uri.to_owned(),
            scheme: scheme.to_owned(),
        });
    }
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    match unescape(path) {
        Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
        Some(_) | None => Err(SourceError::BadFileUri { uri: uri.to_owned() }),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Replaces `%20` and its like by the bytes they stand for.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (rest.next()?, rest.next()?);
            let value = char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?;
            bytes.push(u8::try_from(value).ok().filter(|value| *value != 0)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_file_uris_are_read_and_other_schemes_are_named() {
        for (uri, path) in [
            ("data/a.csv", "data/a.csv"),
            ("/data/a.csv", "/data/a.csv"),
            ("odd/a://b", "odd/a://b"),
            ("file:///data/a%20b.csv", "/data/a b.csv"),
            ("FILE://localhost/a", "/a"),
        ] {
            assert_eq!(path_of(uri).expect("is a path"), PathBuf::from(path));
        }
        for uri in [
            "file://host/a",
            "file://a.csv",
            "file:///a%2",
            "file:///a%zz",
            "file:///a%00",
        ] {
            assert!(matches!(path_of(uri), Err(SourceError::BadFileUri { .. })), "{uri}");
        }
        let error = path_of("s3://bucket/a.csv").unwrap_err();
        assert_eq!(
            error.to_string(),
            "s3://bucket/a.csv: s3:// is not supported; give a path or a file:// uri"
        );
    }
}
