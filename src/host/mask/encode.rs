//! How a value may be written so that no view can undo it. Pure functions over bytes; must not know of secrets' names or of
//! matching.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 without padding, in the standard alphabet.
pub(super) fn base64(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() * 4 / 3 + 3);
    for chunk in data.chunks(3) {
        let bits = chunk.iter().chain(&[0; 3]).take(3).fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        out.extend((0..=chunk.len()).map(|index| ALPHABET[(bits >> (18 - 6 * index) & 63) as usize]));
    }
    out
}

/// The part of `value`'s base64 that does not depend on what stands before and after it, for each of the three places it may take
/// in a group of three bytes.
pub(super) fn base64_inside(value: &[u8]) -> [Vec<u8>; 3] {
    [0, 2, 3].map(|cut: usize| {
        let before = cut.saturating_sub(1);
        let mut data = vec![0; before];
        data.extend_from_slice(value);
        let whole = data.len() * 8 / 6;
        base64(&data).get(cut..whole).unwrap_or_default().to_vec()
    })
}

/// Folds the URL-safe alphabet of base64 onto the standard one.
pub(super) fn fold_base64(byte: u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    }
}

/// Hexadecimal, lower case.
pub(super) fn hex(value: &[u8]) -> Vec<u8> {
    value.iter().flat_map(|&byte| [byte >> 4, byte & 15]).map(|digit| b"0123456789abcdef"[usize::from(digit)]).collect()
}

/// Percent-encoding with upper case digits, as `encodeURIComponent` and its kin do.
pub(super) fn percent(value: &[u8]) -> Vec<u8> {
    substitute(value, |byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        (!plain).then(|| [b"%".to_vec(), hex(&[byte]).to_ascii_uppercase()].concat())
    })
}

/// Percent-encoding with lower case digits.
pub(super) fn percent_lower(value: &[u8]) -> Vec<u8> {
    substitute(value, |byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        (!plain).then(|| [b"%".to_vec(), hex(&[byte])].concat())
    })
}

/// A blank as `+`, as forms write it; what else a form encodes, the percent view undoes.
pub(super) fn form(value: &[u8]) -> Vec<u8> {
    substitute(value, |byte| (byte == b' ').then(|| b"+".to_vec()))
}

/// HTML and XML, in the ways the common libraries escape quotes.
pub(super) fn html(value: &[u8]) -> Vec<Vec<u8>> {
    let escaped = |quote: &'static str, apostrophe: &'static str| {
        substitute(value, |byte| {
            let entity = match byte {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => quote,
                b'\'' => apostrophe,
                _ => return None,
            };
            Some(entity.as_bytes().to_vec())
        })
    };
    [("\"", "'"), ("&quot;", "'"), ("&quot;", "&#39;"), ("&quot;", "&#x27;"), ("&quot;", "&apos;"), ("&#34;", "&#39;")]
        .map(|(quote, apostrophe)| escaped(quote, apostrophe))
        .to_vec()
}

/// A quote written twice: `''` in SQL and YAML, `""` in CSV, `$$` in compose files.
pub(super) fn doubled(value: &[u8], mark: u8) -> Vec<u8> {
    substitute(value, |byte| (byte == mark).then(|| vec![mark, mark]))
}

/// A single quote inside single quotes, as a POSIX shell wants it: `'\''` or `'"'"'`.
pub(super) fn shell(value: &[u8]) -> [Vec<u8>; 2] {
    [br"'\''".as_slice(), br#"'"'"'"#].map(|quote| substitute(value, |byte| (byte == b'\'').then(|| quote.to_vec())))
}

/// Without white space.
pub(super) fn squeezed(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|byte| !matches!(byte, b' ' | b'\t'..=b'\r')).collect()
}

/// `$$` as the `$` it stands for in compose files.
pub(super) fn undollared(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'$' {
            bytes.next_if_eq(&b'$');
        }
        out.push(byte);
    }
    out
}

fn substitute(value: &[u8], with: impl Fn(u8) -> Option<Vec<u8>>) -> Vec<u8> {
    value.iter().flat_map(|&byte| with(byte).unwrap_or_else(|| vec![byte])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_rfc() {
        for (plain, encoded) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy"), ("\u{fb}ÿ", "w7vDvw")]
        {
            assert_eq!(base64(plain.as_bytes()), encoded.as_bytes());
        }
    }

    #[test]
    fn base64_inside_is_in_any_base64_around_it() {
        for before in 0..6 {
            let text = [&vec![b'u'; before], b"correct-horse".as_slice(), b"\n tail"].concat();
            let encoded = base64(&text);
            let inside = &base64_inside(b"correct-horse")[before % 3];
            assert!(encoded.windows(inside.len()).any(|window| window == inside), "{before}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(percent(b"a b/c~"), b"a%20b%2Fc~");
        assert_eq!(percent_lower(b"a/"), b"a%2f");
        assert_eq!(form(b"a b"), b"a+b");
        assert!(html(b"<'\">").contains(&b"&lt;&#39;&quot;&gt;".to_vec()));
        assert_eq!(doubled(b"it's", b'\''), b"it''s");
        assert_eq!(shell(b"it's")[0], br"it'\''s");
        assert_eq!(squeezed(b" a\r\n\tb "), b"ab");
        assert_eq!(undollared(b"a$$b$c$$$"), b"a$b$c$$");
        assert_eq!(hex(&[0, 0xab]), b"00ab");
    }
}
