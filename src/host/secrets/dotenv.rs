//! Reads env files, generously: all forms in which compose, docker or a program's own dotenv library may take a value. Must not
//! know which values are secret.

use std::path::Path;

/// A key and what its value may be taken for.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Assignment {
    /// The key.
    pub(super) key: String,
    /// First what compose makes of it; then, where they differ, quotes undone otherwise, variables left alone, the text of the
    /// line.
    pub(super) forms: Vec<Vec<u8>>,
}

/// Whether the name is that of an env file: `.env`, `.env.production`, `web.env`.
pub(super) fn is_named_like_one(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".env") || name.ends_with(".env")
}

/// What an env file holds.
#[derive(Default)]
pub(super) struct EnvFile {
    /// All assignments, repeated keys included.
    pub(super) assignments: Vec<Assignment>,
    /// Lines that are neither assignments nor comments nor bare keys. Error messages quote them, whatever they are.
    pub(super) strays: Vec<Vec<u8>>,
}

/// Takes the text apart.
pub(super) fn parse(text: &[u8]) -> EnvFile {
    let mut file = EnvFile::default();
    let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    while !rest.is_empty() {
        let (line, after) = cut_line(rest);
        let Some((key, value_at)) = assignment_start(line) else {
            if is_stray(line.trim_ascii()) {
                file.strays.push(line.trim_ascii().to_vec());
            }
            rest = after;
            continue;
        };
        let tail = &rest[value_at..];
        let (forms, used) = read_value(tail, line.len() - value_at, &file.assignments);
        file.assignments.push(Assignment { key, forms });
        rest = if value_at + used < line.len() { after } else { cut_line(&rest[value_at + used..]).1 };
    }
    file
}

/// All assignments, if the text holds nothing else but comments.
pub(super) fn parse_if_all_assignments(text: &[u8]) -> Option<EnvFile> {
    let lines =
        text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let looks_right = |line: &[u8]| {
        assignment_start(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line))
            .is_some_and(|(key, _)| key.chars().all(|character| character.is_ascii_alphanumeric() || character == '_'))
    };
    lines.clone().all(looks_right).then(|| parse(text))
}

fn is_stray(line: &[u8]) -> bool {
    let bare_key = line.strip_prefix(b"export ").unwrap_or(line);
    !line.starts_with(b"#") && !bare_key.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
}

/// The line without its end, and what comes after it.
fn cut_line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}

/// The key, and where the value starts: after `=`, or after the `: ` that compose takes as well.
fn assignment_start(line: &[u8]) -> Option<(String, usize)> {
    if line.trim_ascii_start().starts_with(b"#") {
        return None;
    }
    let separator = line.iter().position(|&byte| matches!(byte, b'=' | b':')).and_then(|at| match line[at] {
        b':' if line.get(at + 1).is_none_or(|byte| !byte.is_ascii_whitespace()) => line.iter().position(|&byte| byte == b'='),
        _ => Some(at),
    })?;
    let key = String::from_utf8_lossy(&line[..separator]).trim().to_owned();
    let key = key.strip_prefix("export ").map_or(key.clone(), |key| key.trim().to_owned());
    if key.is_empty() || key.contains(char::is_whitespace) {
        return None;
    }
    let blank = line[separator + 1..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    Some((key, separator + 1 + blank))
}

/// The forms of the value at the start of `text`, and how many bytes it takes. `line` is how far its first line goes.
fn read_value(text: &[u8], line: usize, earlier: &[Assignment]) -> (Vec<Vec<u8>>, usize) {
    let raw = text[..line].trim_ascii();
    let mut forms = Vec::new();
    let mut used = line;
    match text.first() {
        Some(&quote @ (b'"' | b'\'')) if let Some(end) = closing_quote(&text[1..], quote) => {
            let body = &text[1..=end];
            if quote == b'"' {
                let unescaped = unescape(body);
                forms.push(interpolate(&unescaped, earlier));
                forms.push(unescaped);
            }
            forms.push(body.to_vec());
            used = end + 2;
        }
        _ => {
            let uncommented = without_comment(raw).trim_ascii();
            forms.push(interpolate(uncommented, earlier));
            forms.push(uncommented.to_vec());
            // A quote that nothing closes: who tolerates it may well drop it.
            forms.extend(uncommented.strip_prefix(b"\"").or(uncommented.strip_prefix(b"'")).map(<[u8]>::to_vec));
        }
    }
    forms.push(raw.to_vec());
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for form in forms {
        if !kept.contains(&form) {
            kept.push(form);
        }
    }
    (kept, used)
}

fn closing_quote(text: &[u8], quote: u8) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|&byte| {
        let closes = byte == quote && !escaped;
        escaped = quote == b'"' && byte == b'\\' && !escaped;
        closes
    })
}

fn without_comment(text: &[u8]) -> &[u8] {
    let comment = text.iter().enumerate().position(|(at, &byte)| byte == b'#' && (at == 0 || text[at - 1].is_ascii_whitespace()));
    &text[..comment.unwrap_or(text.len())]
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.clone().next()) {
            (b'\\', Some(next)) => {
                bytes.next();
                match next {
                    b'n' => out.push(b'\n'),
                    b'r' => out.push(b'\r'),
                    b't' => out.push(b'\t'),
                    b'"' | b'\\' | b'$' | b'\'' => out.push(next),
                    other => out.extend([b'\\', other]),
                }
            }
            _ => out.push(byte),
        }
    }
    out
}

/// Puts in the variables that the same file has set before: `$X`, `${X}`, `${X:-default}`. Others stay as written: the
/// environment of the real container, collected elsewhere, has them.
fn interpolate(text: &[u8], earlier: &[Assignment]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (written, name, default) = variable(rest);
        let value =
            earlier.iter().rev().find(|assignment| assignment.key.as_bytes() == name).map(|found| found.forms[0].as_slice());
        let value = value.filter(|value| !value.is_empty() || default.is_none()).or(default);
        out.extend_from_slice(value.unwrap_or(&rest[..written]));
        rest = &rest[written..];
    }
    out.extend_from_slice(rest);
    out
}

/// How long the variable at the start of `text` is, its name, and its default.
fn variable(text: &[u8]) -> (usize, &[u8], Option<&[u8]>) {
    let name_length = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    if text.starts_with(b"$$") {
        return (2, &[], None);
    }
    if !text.starts_with(b"${") {
        let length = name_length(&text[1..]);
        return (1 + length, &text[1..=length], None);
    }
    let Some(close) = text.iter().position(|&byte| byte == b'}') else { return (2, &[], None) };
    let inside = &text[2..close];
    let (name, rest) = inside.split_at(name_length(inside));
    (close + 1, name, rest.strip_prefix(b":-").or_else(|| rest.strip_prefix(b"-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &str) -> Vec<(String, Vec<String>)> {
        parse(text.as_bytes())
            .assignments
            .into_iter()
            .map(|one| (one.key, one.forms.into_iter().map(|form| String::from_utf8(form).unwrap()).collect()))
            .collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &[&str])]) {
        let expected: Vec<(String, Vec<String>)> = expected
            .iter()
            .map(|(key, forms)| ((*key).to_owned(), forms.iter().map(|form| (*form).to_owned()).collect()))
            .collect();
        assert_eq!(forms(text), expected);
    }

    #[test]
    fn values_as_compose_and_others_take_them() {
        check("A=plain\n", &[("A", &["plain"])]);
        check("\u{feff}A = plain \r\nexport B=two\r\n", &[("A", &["plain"]), ("B", &["two"])]);
        check("# A=1\n\n  # x\nnonsense\nA=b=c==", &[("A", &["b=c=="])]);
        check("A=ab#c #d", &[("A", &["ab#c", "ab#c #d"])]);
        check("A='it$x\\n' # c", &[("A", &["it$x\\n", "'it$x\\n' # c"])]);
        check(r#"A="a\"b\nc\$d""#, &[("A", &["a\"b\nc$d", r#"a\"b\nc\$d"#, r#""a\"b\nc\$d""#])]);
        check("A: yaml\nB=http://x", &[("A", &["yaml"]), ("B", &["http://x"])]);
        check("A=\"open\nB=2\n", &[("A", &["\"open", "open"]), ("B", &["2"])]);
        check("A=\nB=''", &[("A", &[""]), ("B", &["", "''"])]);
        check("A=1\nA=2", &[("A", &["1"]), ("A", &["2"])]);
        check("A=pä$$w", &[("A", &["pä$$w"])]);
    }

    #[test]
    fn quotes_may_span_lines() {
        check(
            "A=\"one\ntwo\" # end\nB='x\r\ny'\nC=3\n",
            &[("A", &["one\ntwo", "\"one"]), ("B", &["x\r\ny", "'x"]), ("C", &["3"])],
        );
    }

    #[test]
    fn variables_of_the_same_file() {
        check(
            "U=app\nP=pw\nURL=\"x://${U}:$P@${H:-db}/${N}$\"",
            &[
                ("U", &["app"]),
                ("P", &["pw"]),
                ("URL", &["x://app:pw@db/${N}$", "x://${U}:$P@${H:-db}/${N}$", "\"x://${U}:$P@${H:-db}/${N}$\""]),
            ],
        );
    }

    #[test]
    fn strays() {
        let file = parse(b"A=1\n# comment\nBARE_KEY\nexport B\nmy pass phrase = x\n hunter22\n");
        assert_eq!(file.strays, [&b"my pass phrase = x"[..], b"hunter22"]);
    }

    #[test]
    fn only_assignments_make_an_env_file() {
        assert!(parse_if_all_assignments(b"A=1\n# c\n\nexport B=2\n").is_some());
        assert!(parse_if_all_assignments(b"A=1\nsome text").is_none());
        assert!(parse_if_all_assignments(b"{\"a\": \"b=c\"}").is_none());
        assert!(is_named_like_one(Path::new("/x/.env.production")));
        assert!(is_named_like_one(Path::new("web.env")));
        assert!(!is_named_like_one(Path::new("env")));
    }
}
