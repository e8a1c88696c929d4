//! Lists as CSV (RFC 4180), safe to open in a spreadsheet.

use std::fmt::Write;

use serde_json::Value;

/// One table: the columns' names, then a row for each object, members missing in it empty.
pub(crate) fn table(columns: &[&str], rows: &[Value]) -> String {
    let mut out = columns.join(",");
    out.push_str("\r\n");
    for row in rows {
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            match row.get(column) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => cell(&mut out, text),
                Some(Value::Number(number)) => {
                    let _ = write!(out, "{number}");
                }
                Some(other) => cell(&mut out, &other.to_string()),
            }
        }
        out.push_str("\r\n");
    }
    out
}

/// A text cell. One that a spreadsheet would take for a formula gets a leading `'`: the text may come from an
/// attacker, and an analyst opens it.
fn cell(out: &mut String, text: &str) {
    let formula = text
        .trim_start_matches(['\t', '\r', '\n', ' ', '\u{a0}'])
        .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let quoted = formula || text.contains(['"', ',', '\r', '\n', '\t']);
    if quoted {
        out.push('"');
    }
    if formula {
        out.push('\'');
    }
    out.push_str(&text.replace('"', "\"\""));
    if quoted {
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formulas_are_disarmed_and_numbers_are_not() {
        let rows = [json!({"a": "=1+1", "b": -5}), json!({"a": "x, \"y\"", "b": null}), json!({"a": "\t@SUM(1)"})];
        let text = table(&["a", "b"], &rows);
        assert_eq!(text, "a,b\r\n\"'=1+1\",-5\r\n\"x, \"\"y\"\"\",\r\n\"'\t@SUM(1)\",\r\n");
    }
}
