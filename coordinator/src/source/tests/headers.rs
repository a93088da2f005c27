//! What a file may begin with.

use common::limits::{MAX_COLUMNS, MAX_FIELD_BYTES, MAX_RECORD_BYTES};

use super::*;

fn refusal_of(content: &[u8]) -> String {
    Files::new(&[("f.csv", content)]).refusal("f.csv")
}

#[test]
fn mark_quotes_and_line_ends_of_a_header_are_understood() {
    for (content, columns, data_start) in [
        ("a,b\n1,2\n", ["a", "b"], 4),
        ("a,b\r\n1,2\n", ["a", "b"], 5),
        ("a,b\r1,2\n", ["a", "b"], 4),
        ("\u{feff}\"a\",b\n1,2\n", ["a", "b"], 9),
        ("\n\na,\"x \"\"y\"\"\n,z\"\n\n1,2\n", ["a", "x \"y\"\n,z"], 18),
        ("né, b", ["né", " b"], 6),
    ] {
        let frozen = Files::new(&[("f.csv", content.as_bytes())]).list(&["f.csv"]).unwrap();
        assert_eq!(frozen.columns, columns, "{content:?}");
        assert_eq!(frozen.files[0].data_start, data_start, "{content:?}");
        assert_eq!(frozen.files[0].bytes, content.len() as u64);
    }
}

#[test]
fn a_bad_header_is_refused_with_file_line_and_column() {
    for (content, refusal) in [
        (&b""[..], "f.csv: the file is empty: it has no header"),
        (b"\xef\xbb\xbf", "f.csv: the file is empty: it has no header"),
        (
            b"\n\r\n",
            "f.csv: the file has no header: it begins with empty lines only",
        ),
        (
            b"\xff\xfea\0\n\0",
            "f.csv: line 1: the file is UTF-16; convert it to UTF-8",
        ),
        (
            b"a,caf\xe9\n1,2\n",
            "f.csv: line 1: the name of column 2 is not UTF-8; convert the file to UTF-8",
        ),
        (b"\na,,b\n", "f.csv: line 2: column 2 has no name; give it one"),
        (
            b"a,b,a\n",
            "f.csv: line 1: column 3 has the name \"a\" of column 1; rename one",
        ),
        (
            b"\"a\nb\",c,c\n",
            "f.csv: line 2: column 3 has the name \"c\" of column 2; rename one",
        ),
        (
            b"a,\"b\n1,2\n3,4\n",
            "f.csv: line 1: the quote opened here never closes; close it, or double it where it is meant literally",
        ),
        (
            b"a,b\"\n\"\n1,2\n",
            "f.csv: line 1: the header has a quote inside an unquoted name; quote the name and double the quote",
        ),
    ] {
        assert_eq!(refusal_of(content), refusal);
    }
}

#[test]
fn the_limits_hold_in_the_header() {
    let columns: Vec<String> = (0..=MAX_COLUMNS).map(|column| format!("c{column}")).collect();
    assert_eq!(
        refusal_of(columns.join(",").as_bytes()),
        "f.csv: line 1: the header has 10001 columns, at most 10000 are allowed"
    );
    let name = "x".repeat(MAX_FIELD_BYTES + 1);
    assert_eq!(
        refusal_of(format!("a,{name}\n").as_bytes()),
        "f.csv: line 1: the name of column 2 is larger than 1.0 MiB"
    );
    let unquoted = vec![b'x'; MAX_RECORD_BYTES + 1];
    assert_eq!(
        refusal_of(&unquoted),
        "f.csv: line 1: the record that begins here is larger than 8.0 MiB"
    );
    let quoted = [b"a,\"".as_slice(), &unquoted].concat();
    assert!(refusal_of(&quoted).ends_with("the quote opened on line 1 seems never to close"));
}

#[test]
fn files_with_different_headers_are_refused() {
    let files = Files::new(&[("a.csv", b"x,y\n"), ("b.csv", b"x,z\n"), ("c.csv", b"x,y,z\n")]);
    for (second, difference) in [
        ("b.csv", "column 2 is \"z\" instead of \"y\""),
        ("c.csv", "it has 3 columns instead of 2"),
    ] {
        let invalid = files.list(&["a.csv", second]).unwrap_err();
        assert_eq!(invalid.uri, 1);
        assert_eq!(
            files.shorten(&invalid.error),
            format!(
                "{second}: line 1: the header differs from that of a.csv: {difference}; a run's files share one header"
            )
        );
    }
}
