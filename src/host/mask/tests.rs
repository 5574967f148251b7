//! What the masker must make of given streams, whole and cut at every byte.

use super::{Masker, Needles, Plain, Secret};
use std::sync::Arc;

fn needles(secrets: &[(&str, &str)]) -> Arc<Needles> {
    let secrets: Vec<Secret> = secrets.iter().map(|(name, value)| Secret::new(*name, *value, true)).collect();
    Arc::new(Needles::new(&secrets, &Plain::default()))
}

fn mask(needles: &Arc<Needles>, pieces: &[&[u8]]) -> Vec<u8> {
    let mut masker = Masker::new(Arc::clone(needles));
    let mut out = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut out);
    }
    masker.finish(&mut out);
    assert_eq!(masker.held(), 0);
    out
}

/// Asserts what `input` becomes: whole, byte by byte, and cut in two at every byte.
#[track_caller]
fn check(secrets: &[(&str, &str)], input: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
    let (input, expected) = (input.as_ref(), expected.as_ref());
    let needles = needles(secrets);
    let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
    assert_eq!(show(&mask(&needles, &[input])), show(expected), "whole");
    for cut in 0..input.len() {
        let (head, tail) = input.split_at(cut);
        assert_eq!(show(&mask(&needles, &[head, tail])), show(expected), "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(show(&mask(&needles, &bytes)), show(expected), "byte by byte");
}

const KEY: &str =
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\nx7Qm\n-----END PRIVATE KEY-----";

#[test]
fn raw_text_keeps_everything_else() {
    check(&[("PW", "hunter22")], "a hunter22 b\nhunter2 hunter22", "a [masked:PW] b\nhunter2 [masked:PW]");
    check(&[], "nothing to hide \\ % \x1b[0m", "nothing to hide \\ % \x1b[0m");
}

#[test]
fn every_encoding_at_every_cut() {
    let secret = "p@ss'w\"rd <é> \\&$x/1";
    for (how, written) in [
        ("raw", secret),
        ("percent", "p%40ss%27w%22rd%20%3C%C3%A9%3E%20%5C%26%24x%2F1"),
        ("percent, lower", "p%40ss%27w%22rd%20%3c%c3%a9%3e%20%5c%26%24x%2f1"),
        ("percent of each byte", "%70%40%73%73%27%77%22%72%64%20%3c%c3%a9%3e%20%5c%26%24%78%2f%31"),
        ("percent twice", "p%2540ss%2527w%2522rd%2520%253C%25C3%25A9%253E%2520%255C%2526%2524x%252F1"),
        ("form", "p%40ss%27w%22rd+%3C%C3%A9%3E+%5C%26%24x%2F1"),
        ("json", r#"p@ss'w\"rd <é> \\&$x/1"#),
        ("json, ascii", r#"p@ss'w\"rd \u003c\u00e9\u003e \\\u0026$x\/1"#),
        ("c", r#"p@ss\'w\"rd <\303\251> \\&$x/1"#),
        ("python", r#"p@ss\'w"rd <\xc3\xa9> \\&$x/1"#),
        ("shell, single quotes", r#"p@ss'\''w"rd <é> \&$x/1"#),
        ("shell, mixed quotes", r#"p@ss'"'"'w"rd <é> \&$x/1"#),
        ("shell, backslashes", r#"p@ss\'w\"rd\ \<é\>\ \\\&\$x/1"#),
        ("sql", r#"p@ss''w"rd <é> \&$x/1"#),
        ("csv", r#"p@ss'w""rd <é> \&$x/1"#),
        ("compose", r#"p@ss'w"rd <é> \&$$x/1"#),
        ("html", r"p@ss&#39;w&quot;rd &lt;é&gt; \&amp;$x/1"),
        ("html, text", r#"p@ss'w"rd &lt;é&gt; \&amp;$x/1"#),
        ("html, go", r"p@ss&#39;w&#34;rd &lt;é&gt; \&amp;$x/1"),
        ("hex", "70407373277722726420 3cc3a93e205c2624782f31"),
        ("HEX", "70407373277722726420\n3CC3A93E205C2624782F31"),
        ("hexdump", "70 40 73 73 27 77 22 72  64 20 3c c3 a9 3e 20 5c 26 24 78 2f 31"),
        ("colour", "\x1b[31mp@ss'w\x1b[1;32m\"rd <é\x1b(B\x1b[m> \\&$x/1"),
        ("colour and percent", "p%40s\x1b[31ms%27w%22rd%20%3C%C3%A9%3E%2\x1b[0m0%5C%26%24x%2F1"),
        ("wrapped", "p@ss'w\"rd\n  <é>\n  \\&$x/1"),
        ("wrapped json", r#"p@ss'w\"rd\n  <é> \\&$x/1"#),
    ] {
        let input = format!("out: {written}. end\n");
        let start = if how == "colour" { "out: \x1b[31m[masked:PW]. end\n" } else { "out: [masked:PW]. end\n" };
        check(&[("PW", secret)], input, start);
    }
}

#[test]
fn base64_of_a_larger_text_leaves_no_more_than_its_edges() {
    let secret = ("TOKEN", "correct>>horse??battery");
    for (encoded, left) in [
        ("Y29ycmVjdD4+aG9yc2U/P2JhdHRlcnk=", "[masked:TOKEN]k="),
        ("dTpjb3JyZWN0Pj5ob3JzZT8/YmF0dGVyeQo=", "dTp[masked:TOKEN]Qo="),
        ("dTpjb3JyZWN0Pj5ob3JzZT8_YmF0dGVyeQo", "dTp[masked:TOKEN]Qo"),
        ("dTpjb3JyZWN0Pj5v\nb3JzZT8", "dTpjb3JyZWN0Pj5v\nb3JzZT8"),
        ("dTpjb3JyZWN0\r\nPj5ob3JzZT8\r\n/YmF0dGVyeQo=", "dTp[masked:TOKEN]Qo="),
        ("dTpjb3JyZWN0Pj5ob3JzZT8%2FYmF0dGVyeQo%3D", "dTp[masked:TOKEN]Qo%3D"),
        (r"dTpjb3JyZWN0Pj5ob3JzZT8\/YmF0dGVyeQo=", "dTp[masked:TOKEN]Qo="),
    ] {
        check(&[secret], encoded, left);
    }
}

#[test]
fn pem_in_its_disguises() {
    let secret = [("KEY", KEY)];
    check(&secret, format!("{KEY}\n"), "[masked:KEY]\n");
    check(&secret, KEY.replace('\n', "\r\n"), "[masked:KEY]");
    check(&secret, KEY.replace('\n', "\n    "), "[masked:KEY]");
    check(&secret, KEY.replace('\n', " "), "[masked:KEY]");
    check(&secret, format!("{{\"key\":\"{}\\n\"}}", KEY.replace('\n', "\\n")), "{\"key\":\"[masked:KEY]\\n\"}");
    check(
        &secret,
        "db-1  | MIIEvQIBADANBgkqhkiG9w0B\ndb-1  | AQEFAASCBKcwggSjAgEAAoIB\n",
        "db-1  | [masked:KEY]\ndb-1  | [masked:KEY]\n",
    );
    check(&[("KEY", &KEY.replace('\n', "\\n"))], format!("{KEY}\n"), "[masked:KEY]\n");
}

#[test]
fn urls_give_their_password() {
    let secret = [("DATABASE_URL", "postgres://app:p%40ssw%2Frd@db:5432/shop?sslmode=require")];
    check(&secret, "to postgres://app:p%40ssw%2Frd@db:5432/shop?sslmode=require.", "to [masked:DATABASE_URL].");
    check(&secret, "password p@ssw/rd or p%40ssw%2Frd", "password [masked:DATABASE_URL] or [masked:DATABASE_URL]");
    check(&secret, "app db 5432 shop require", "app db 5432 shop require");
    check(&[("DSN", "host=db user=app password=s3cr3t-x")], "s3cr3t-x@app", "[masked:DSN]@app");
}

#[test]
fn json_gives_its_leaves() {
    let secret =
        [("ACCOUNT", r#"{"type":"user","id":7,"key":"abc\ndefghijk-lmn","nested":{"list":["zyxwvut"]},"pin_token":"k4y9"}"#)];
    check(&secret, "{ } \"type\" user 7 key", "{ } \"type\" user 7 key");
    check(&secret, "zyxwvut defghijk-lmn k4y9 xk4y9", "[masked:ACCOUNT] [masked:ACCOUNT] [masked:ACCOUNT] xk4y9");
    check(&secret, "{\"key\": \"abc\\ndefghijk-lmn\"}", "{\"key\": \"[masked:ACCOUNT]\"}");
}

#[test]
fn dollars_are_undone() {
    check(&[("PW", "a$$bcdef$$")], "a$bcdef$ a$$bcdef$$", "[masked:PW] [masked:PW]");
}

#[test]
fn overlaps() {
    check(&[("A", "abcdef-ghijkl"), ("B", "ghijkl-mnopqr")], "abcdef-ghijkl-mnopqr!", "[masked:A]!");
    check(&[("A", "abcdef"), ("B", "abcdefgh")], "abcdefgh abcdefg", "[masked:B] [masked:A]g");
    check(&[("A", "abcdefgh"), ("B", "cdefgh")], "abcdefgh xcdefgh", "[masked:A] x[masked:B]");
    check(&[("A", "ababab"), ("B", "bababc")], "xabababc", "x[masked:A]");
    check(&[("A", "abcabc")], "abcabcabcab abcabcabcabc", "[masked:A]ab [masked:A]");
    check(&[("A", "ababc1"), ("B", "abab22")], "abababc1 ababab22", "ab[masked:A] ab[masked:B]");
    check(&[("A", "secret-one"), ("B", "secret-two")], "secret-onesecret-two", "[masked:A][masked:B]");
}

#[test]
fn short_secrets_need_word_boundaries() {
    let secret = [("PIN", "ab1x")];
    check(&secret, "ab1x", "[masked:PIN]");
    check(&secret, "is ab1x, not ab1xy nor xab1x nor ab1x_", "is [masked:PIN], not ab1xy nor xab1x nor ab1x_");
    check(&secret, "=ab1x\n\"ab1x\"", "=[masked:PIN]\n\"[masked:PIN]\"");
    check(&secret, "\x1b[32mab1x\x1b[0m \x1b[32mxab1x\x1b[0m", "\x1b[32m[masked:PIN]\x1b[0m \x1b[32mxab1x\x1b[0m");
    check(&secret, r#""a\nab1x\n""#, r#""a\n[masked:PIN]\n""#);
    check(&secret, "?q=%20ab1x%20", "?q=%20[masked:PIN]%20");
    check(&[("A", "-cdef"), ("B", "cdef")], "x-cdef", "x[masked:A]");
    check(&[("A", "bcdef"), ("B", "cdef")], "xbcdef", "xbcdef");
}

#[test]
fn ordinary_values_do_not_ruin_the_log() {
    let ordinary = [("A", "true"), ("B", "5432"), ("C", "postgres"), ("D", ""), ("E", "production")];
    let log = "true 5432 postgres: production is up\n";
    check(&ordinary, log, log);
}

#[test]
fn control_sequences_do_not_hide_and_links_do_not_leak() {
    let secret = [("PW", "abcdefgh")];
    check(&secret, "\x1b[abcdefgh", "\x1b[[masked:PW]");
    check(&secret, "\x1b[%61bcdefgh", "\x1b[[masked:PW]");
    check(&secret, "\x1b]8;;https://x/?t=abcdefgh\x1b\\x\x1b]8;;\x1b\\", "\x1b]8;;https://x/?t=[masked:PW]\x1b\\x\x1b]8;;\x1b\\");
    check(&secret, "10%\rabcdefgh\r20%", "10%\r[masked:PW]\r20%");
    check(&[("PW", "ends-with\\")], "x ends-with\\ y ends-with\\\\ z", "x [masked:PW] y [masked:PW] z");
    check(&[("PW", "%41%42%43")], "%41%42%43 %2541%2542%2543", "[masked:PW] [masked:PW]");
}

/// Found by the random test: the reading without colours and with escapes undone agrees with the plain one while the one that only
/// leaves out colours does not.
#[test]
fn a_reading_does_not_follow_one_that_has_been_set_apart() {
    let text = r#"a?b\!c?d-\"xyz1"#.replace('?', "\x1b[m");
    check(&[("PW", r#"ab\!cd-"xyz1"#)], &text, &text);
}

#[test]
fn binary_is_kept() {
    let mut input: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    let kept = input.clone();
    check(&[("PW", "hunter22")], &input, &kept);
    input.splice(100..100, *b"hunter22");
    let mut expected = kept;
    expected.splice(100..100, *b"[masked:PW]");
    check(&[("PW", "hunter22")], &input, &expected);
}

#[test]
fn names_cannot_break_the_line() {
    check(&[("a\n]b", "hunter22")], "hunter22", "[masked:a__b]");
}

#[test]
fn only_a_real_beginning_is_held_back() {
    let mut masker = Masker::new(needles(&[("PW", "hunter22"), ("PIN", "k4y9")]));
    let mut out = Vec::new();
    let mut push = |text: &str| {
        masker.push(text.as_bytes(), &mut out);
        (masker.held(), String::from_utf8(std::mem::take(&mut out)).unwrap())
    };
    assert_eq!(push("Password: "), (0, "Password: ".into()));
    assert_eq!(push("the hunt"), (4, "the ".into()));
    assert_eq!(push("h"), (1, "hunt".into()));
    assert_eq!(push("unter2"), (7, String::new()));
    assert_eq!(push("2"), (0, "[masked:PW]".into()));
    assert_eq!(push(" k4y9"), (4, " ".into()));
    assert_eq!(push("\n"), (0, "[masked:PIN]\n".into()));
}

#[test]
fn a_prompt_that_resembles_a_secret_a_little_appears() {
    let mut masker = Masker::new(needles(&[("PW", "? yes-or-no")]));
    let mut out = Vec::new();
    masker.push(b"really? y", &mut out);
    assert_eq!(out, b"really");
    masker.idle_flush(3, &mut out);
    assert_eq!(out, b"really? y");
    masker.push(b"es-", &mut out);
    masker.idle_flush(3, &mut out);
    assert_eq!(out, b"really? y");
    masker.push(b"or-no!", &mut out);
    assert_eq!(out, b"really? y[masked:PW]!");
    masker.push(b"100%", &mut out);
    masker.idle_flush(3, &mut out);
    assert!(out.ends_with(b"100%"));
}

#[test]
fn a_pause_inside_a_secret_lets_no_more_than_three_of_its_bytes_out() {
    let needles = needles(&[("PW", "correct-horse")]);
    for (written, width) in [("correct-horse", 1), ("%63%6F%72%72%65%63%74%2D%68%6F%72%73%65", 3), ("Y29ycmVjdC1ob3JzZQ", 1)] {
        for cut in 0..written.len() {
            let mut masker = Masker::new(Arc::clone(&needles));
            let mut out = Vec::new();
            masker.push(&written.as_bytes()[..cut], &mut out);
            masker.idle_flush(3, &mut out);
            masker.push(&written.as_bytes()[cut..], &mut out);
            masker.finish(&mut out);
            let out = String::from_utf8(out).unwrap();
            let early = out.find("[masked:PW]").unwrap();
            assert!(early < 4 * width && early <= cut, "{written} cut at {cut}: {out}");
        }
    }
}

#[test]
fn streams_do_not_disturb_each_other() {
    let needles = needles(&[("PW", "hunter22")]);
    let (mut stdout, mut stderr) = (Masker::new(Arc::clone(&needles)), Masker::new(needles));
    let mut out = Vec::new();
    stdout.push(b"is hunt", &mut out);
    stderr.push(b"a warning\n", &mut out);
    stdout.push(b"er22\n", &mut out);
    assert_eq!(out, b"is a warning\n[masked:PW]\n");
}

#[test]
fn a_partial_secret_at_the_end_is_delivered() {
    check(&[("PW", "hunter22")], "the hunter2", "the hunter2");
    check(&[("PW", "hunter22")], "the hunter\\u003", "the hunter\\u003");
}

/// Feeds a megabyte made of `unit`, and tells the most bytes that ever waited and how many came out.
fn flood(secret: &str, unit: &[u8]) -> (usize, usize) {
    let mut masker = Masker::new(needles(&[("PW", secret)]));
    let data = unit.repeat(8192 / unit.len());
    let (mut most, mut left) = (0, 0);
    let mut out = Vec::new();
    for _ in 0..128 {
        masker.push(&data, &mut out);
        most = most.max(masker.held());
        left += out.len();
        out.clear();
    }
    masker.finish(&mut out);
    (most, left + out.len())
}

#[test]
fn memory_is_bounded_on_any_stream() {
    let megabyte = 128 * 8192;
    assert_eq!(flood("hunter22-hunter22", b"x"), (0, megabyte));
    let pathological = format!("{}b", "a".repeat(500));
    assert_eq!(flood(&pathological, b"a"), (500, megabyte));
    // One endless secret is one mask.
    assert_eq!(flood("aaaaaaaa", b"a").1, "[masked:PW]".len());
    assert!(flood("aaaaaaaa", b"a").0 <= 8);
    // White space, colours and escapes may stretch a match, but not for ever.
    for unit in [&b" "[..], b"\n", b"\x1b[0m", b"\x1b[0m\\"] {
        let mut masker = Masker::new(needles(&[("PW", "correct horse battery")]));
        let mut out = Vec::new();
        masker.push(b"correct", &mut out);
        for _ in 0..64 {
            masker.push(&unit.repeat(8192 / unit.len()), &mut out);
        }
        assert!(masker.held() <= 72 * 1024, "{unit:?} {}", masker.held());
        masker.finish(&mut out);
        assert_eq!(out.len(), 7 + 64 * (8192 / unit.len()) * unit.len());
    }
}

#[test]
fn a_large_secret_is_masked() {
    let secret: String = (0..65536u32).map(|index| char::from(b'!' + u8::try_from(index * index / 7 % 90).unwrap())).collect();
    let needles = needles(&[("BIG", &secret)]);
    let base64 = super::encode::base64(secret.as_bytes());
    for written in [secret.as_bytes(), &base64, &super::encode::hex(secret.as_bytes())] {
        let input = [b"x ", written, b" y"].concat();
        let pieces: Vec<&[u8]> = input.chunks(1000).collect();
        let out = mask(&needles, &pieces);
        assert!(out.len() < 24, "{}", out.len());
    }
}
