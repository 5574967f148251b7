//! Reads what psql and mysql print, in forms that no value can be mistaken for something else: PostgreSQL's COPY text, whose
//! backslash is always escaped, and the XML of the mysql client. Pure.

/// One row: a text for each column, none for NULL.
pub(in crate::host) type Row = Vec<Option<String>>;

/// Rows of several queries in COPY's text form, each query's end marked by a line `\=`, which no row can be.
pub(super) fn of_copy(text: &str) -> Result<Vec<Vec<Row>>, String> {
    let mut sets = Vec::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if line == END {
            sets.push(std::mem::take(&mut rows));
        } else {
            rows.push(line.split('\t').map(field).collect::<Result<Row, _>>()?);
        }
    }
    if rows.is_empty() { Ok(sets) } else { Err("its answer was cut off".to_owned()) }
}

/// The line that ends the rows of a query.
pub(super) const END: &str = "\\=";

fn field(text: &str) -> Result<Option<String>, String> {
    if text == "\\N" {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some('\\') => '\\',
            _ => return Err("its answer is not in COPY's form".to_owned()),
        });
    }
    Ok(Some(out))
}

/// Rows of several queries in the XML of the mysql client.
pub(super) fn of_xml(text: &str) -> Result<Vec<Vec<Row>>, String> {
    let broken = || "its answer is not the XML of the mysql client".to_owned();
    let mut sets = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("<resultset") {
        let from = &rest[at..];
        let body = from.find('>').ok_or_else(broken)? + 1;
        let end = from.find("</resultset>").ok_or_else(broken)?;
        sets.push(from[body..end].split("<row>").skip(1).map(xml_row).collect::<Option<Vec<Row>>>().ok_or_else(broken)?);
        rest = &from[end..];
    }
    Ok(sets)
}

fn xml_row(text: &str) -> Option<Row> {
    let mut row = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("<field ") {
        let from = &rest[at..];
        let end = from.find('>')?;
        if from[..end].ends_with('/') {
            row.push(None);
            rest = &from[end..];
        } else {
            let close = from.find("</field>")?;
            let value = &from[end + 1..close];
            row.push(Some(value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")));
            rest = &from[close..];
        }
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_wraps, reason = "it is what a row holds")]
    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_copy_cannot_be_confused_by_its_data() {
        let rows = of_copy("a\\tb\t\\N\t\\\\N\t\n\\\\=\tx\\ny\t\t\n\\=\n\\=\n").expect("rows");
        let first = vec![some("a\tb"), None, some("\\N"), some("")];
        assert_eq!(rows, [vec![first, vec![some("\\="), some("x\ny"), some(""), some("")]], vec![]]);
        assert!(of_copy("a\tb\n").is_err(), "no end, no answer");
        assert!(of_copy("a\\q\n\\=\n").is_err());
    }

    #[test]
    fn the_xml_of_mysql_cannot_be_confused_by_its_data() {
        let text = "<?xml version=\"1.0\"?>\n\n<resultset statement=\"SELECT a &lt; b\"\n xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n  <row>\n\t<field name=\"a\">&lt;row&gt; &amp;lt;\nx</field>\n\t<field name=\"b\" xsi:nil=\"true\" />\n\t<field name=\"c\"></field>\n  </row>\n</resultset>\n<?xml version=\"1.0\"?>\n<resultset statement=\"x\"></resultset>\n";
        assert_eq!(of_xml(text).expect("rows"), [vec![vec![some("<row> &lt;\nx"), None, some("")]], vec![]]);
    }
}
