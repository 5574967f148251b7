//! Random secrets, written in random ways, in random pieces. The oracle: of the printed form no window of six bytes is left
//! (eight for base64, whose edges belong to the neighbours as well), and how the stream is cut makes no difference.
//!
//! `LANDFALL_TESTS_LONG=1 cargo test --release mask::fuzz` tries 200,000 cases.

use super::encode;
use super::{Masker, Needles, Plain, Secret};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::fmt::Write as _;
use std::sync::Arc;

fn config() -> ProptestConfig {
    let cases = if std::env::var_os("LANDFALL_TESTS_LONG").is_some() { 200_000 } else { 400 };
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(0x1a4d_fa11), failure_persistence: None, ..ProptestConfig::default() }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Raw,
    PercentAll,
    PercentMixed,
    Json,
    JsonAscii,
    Base64,
    Base64Inside,
    Base64Wrapped,
    Base64InUrl,
    Hex,
    HexDump,
    Colours,
    ColoursPercent,
    ColoursJson,
    Indented,
    Crlf,
    Html,
    Sql,
    Shell,
    Compose,
    Overlap,
}

const WAYS: [Way; 21] = [
    Way::Raw,
    Way::PercentAll,
    Way::PercentMixed,
    Way::Json,
    Way::JsonAscii,
    Way::Base64,
    Way::Base64Inside,
    Way::Base64Wrapped,
    Way::Base64InUrl,
    Way::Hex,
    Way::HexDump,
    Way::Colours,
    Way::ColoursPercent,
    Way::ColoursJson,
    Way::Indented,
    Way::Crlf,
    Way::Html,
    Way::Sql,
    Way::Shell,
    Way::Compose,
    Way::Overlap,
];

#[derive(Clone, Debug)]
struct Case {
    secrets: Vec<String>,
    way: Way,
    dice: Vec<u8>,
    pieces: Vec<usize>,
    noise: String,
}

/// Throws of a die, over and over again.
struct Dice<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Dice<'_> {
    fn below(&mut self, sides: u8) -> u8 {
        self.0.next().copied().unwrap_or_default() % sides
    }
}

fn case() -> impl Strategy<Value = Case> {
    let text = "[a-jA-J0-9_.~!*'();:@&=+$,/?#<>\"\\\\^`{|}%\\[\\] -]{0,46}";
    let wide = (text, "[a-zA-Z0-9é€😀-]{8}").prop_map(|(a, b)| format!("{b}{a}x"));
    let narrow = "[ab]{8,40}";
    let lines = ("[a-zA-Z0-9+/]{4,30}", "[a-zA-Z0-9+/=]{8,30}").prop_map(|(a, b)| format!("{a}\n{b}"));
    let secret = prop_oneof![5 => wide, 2 => narrow, 2 => lines];
    (
        prop::collection::vec(secret, 1..5),
        prop::sample::select(&WAYS[..]),
        prop::collection::vec(any::<u8>(), 31),
        prop::collection::vec(1usize..10, 1..12),
        "[ -~\n\r\t\x1b%\\\\]{0,12}",
    )
        .prop_map(|(secrets, way, dice, pieces, noise)| Case { secrets, way, dice, pieces, noise })
}

fn percent(secret: &str, dice: &mut Dice<'_>) -> String {
    secret.bytes().fold(String::new(), |mut out, byte| {
        match (byte.is_ascii_alphanumeric() && dice.below(3) > 0, dice.below(2)) {
            (true, _) => out.push(char::from(byte)),
            (false, 0) => write!(out, "%{byte:02x}").unwrap(),
            (false, _) => write!(out, "%{byte:02X}").unwrap(),
        }
        out
    })
}

fn json(secret: &str, ascii: bool) -> String {
    let quoted = serde_json::to_string(secret).unwrap();
    let inner = &quoted[1..quoted.len() - 1];
    if !ascii {
        return inner.to_owned();
    }
    let mut units = [0; 2];
    inner.chars().fold(String::new(), |mut out, character| {
        if character.is_ascii() && !"<>&'".contains(character) {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}").unwrap();
            }
        }
        out
    })
}

fn coloured(text: &[u8], dice: &mut Dice<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in text {
        if dice.below(3) == 0 {
            out.extend_from_slice([&b"\x1b[1;31m"[..], b"\x1b[m", b"\x1b(B"][usize::from(dice.below(3))]);
        }
        out.push(byte);
    }
    out
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn write(case: &Case) -> Vec<u8> {
    let mut dice = Dice(case.dice.iter().cycle());
    let secret = &case.secrets[usize::from(dice.below(u8::try_from(case.secrets.len()).unwrap()))];
    let bytes = secret.as_bytes();
    match case.way {
        Way::Raw => bytes.to_vec(),
        Way::PercentAll => secret.bytes().fold(String::new(), |out, byte| out + &format!("%{byte:02X}")).into_bytes(),
        Way::PercentMixed => percent(secret, &mut dice).into_bytes(),
        Way::Json => json(secret, false).into_bytes(),
        Way::JsonAscii => json(secret, true).into_bytes(),
        Way::Base64 => encode::base64(bytes),
        Way::Base64Inside => encode::base64(&[&b"user:"[usize::from(dice.below(6))..], bytes, b"\n"].concat()),
        Way::Base64Wrapped => {
            let width = usize::from(4 + dice.below(20));
            encode::base64(bytes).chunks(width).collect::<Vec<_>>().join(&b"\r\n"[usize::from(dice.below(2))..])
        }
        Way::Base64InUrl => encode::percent(&encode::base64(bytes)),
        Way::Hex => encode::hex(bytes),
        Way::HexDump => bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ").into_bytes(),
        Way::Colours => coloured(bytes, &mut dice),
        Way::ColoursPercent => coloured(percent(secret, &mut Dice(case.dice.iter().cycle())).as_bytes(), &mut dice),
        Way::ColoursJson => coloured(json(secret, true).as_bytes(), &mut dice),
        Way::Indented => secret.replace('\n', "\n    ").into_bytes(),
        Way::Crlf => secret.replace('\n', "\r\n").into_bytes(),
        Way::Html => encode::html(bytes)[usize::from(dice.below(6))].clone(),
        Way::Sql => encode::doubled(bytes, b'\''),
        Way::Shell => encode::shell(bytes)[usize::from(dice.below(2))].clone(),
        Way::Compose => encode::doubled(bytes, b'$'),
        Way::Overlap => {
            let cut = secret.char_indices().map(|(at, _)| at).nth(secret.chars().count() * 2 / 3).unwrap();
            [&bytes[..cut], case.secrets[0].as_bytes()].concat()
        }
    }
}

fn mask(needles: &Arc<Needles>, input: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut masker = Masker::new(Arc::clone(needles));
    let (mut out, mut rest) = (Vec::new(), input);
    for &piece in pieces.iter().cycle() {
        let (head, tail) = rest.split_at(piece.min(rest.len()));
        masker.push(head, &mut out);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    masker.finish(&mut out);
    out
}

fn visible(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != 0x1b {
            out.push(*byte);
        } else if let Some(end) = rest.iter().position(|byte| b"mB".contains(byte)) {
            rest = &rest[end + 1..];
        }
    }
    out
}

fn secrets_of(values: &[String]) -> Vec<Secret> {
    values.iter().map(|value| Secret::new("S", value.as_bytes(), true)).collect()
}

fn needles(secrets: &[String]) -> Arc<Needles> {
    Arc::new(Needles::new(&secrets_of(secrets), &Plain::default()))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_of_a_secret_is_left(case in case()) {
        let written = write(&case);
        let input = [b"out: ", &written[..], b" end\n"].concat();
        let out = mask(&needles(&case.secrets), &input, &case.pieces);
        let probe = match case.way {
            Way::Overlap => case.secrets[0].clone().into_bytes(),
            _ => visible(&written),
        };
        let window = match case.way {
            Way::Base64 | Way::Base64Inside | Way::Base64Wrapped | Way::Base64InUrl => 8,
            Way::Hex | Way::HexDump => 12,
            Way::Overlap => probe.len(),
            _ => 6,
        };
        let out = visible(&out);
        let innocent = b"out: [masked:S] end\n";
        let holds = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|window| window == part);
        for part in probe.windows(window) {
            if !part.contains(&b'\n') && !holds(innocent, part) {
                prop_assert!(!holds(&out, part), "{:?} is left of {:?} in {:?}", part.escape_ascii().to_string(),
                    text(visible(&written)), out.escape_ascii().to_string());
            }
        }
    }

    #[test]
    fn cuts_make_no_difference(case in case()) {
        let written = write(&case);
        let (noise, half) = (case.noise.as_bytes(), &written[..written.len() / 2]);
        let input = [noise, &written, noise, half, b"%", &written].concat();
        let needles = needles(&case.secrets);
        let whole = mask(&needles, &input, &[input.len()]);
        let cut = mask(&needles, &input, &case.pieces);
        prop_assert_eq!(whole.escape_ascii().to_string(), cut.escape_ascii().to_string());
    }

    /// The sieve may pass over only that in which the automata would have found nothing.
    #[test]
    fn what_is_passed_over_makes_no_difference(
        case in case(),
        short in "[a-z]{4,5}",
        parts in prop::collection::vec((0usize..5, 0usize..40, "[a-z0-9 \n\t+/=-]{0,300}"), 1..16),
        pieces in prop::collection::vec(1usize..3000, 1..6),
    ) {
        let written = write(&case);
        let input = parts.iter().fold(Vec::new(), |mut input, (kind, length, filler)| {
            let part = match kind {
                0 => &written[..],
                1 => &written[..written.len().min(*length)],
                2 => &written[written.len().saturating_sub(*length)..],
                3 => short.as_bytes(),
                _ => case.noise.as_bytes(),
            };
            input.extend_from_slice(filler.as_bytes());
            input.extend_from_slice(part);
            input
        });
        let secrets: Vec<String> = case.secrets.iter().chain([&short]).cloned().collect();
        let closely = Arc::new(Needles::without_sieve(&secrets_of(&secrets), &Plain::default()));
        let sifted = mask(&needles(&secrets), &input, &pieces);
        prop_assert_eq!(sifted.escape_ascii().to_string(), mask(&closely, &input, &pieces).escape_ascii().to_string());
    }

    #[test]
    fn what_holds_no_secret_is_kept(case in case(), input in prop::collection::vec(any::<u8>(), 0..300)) {
        let needles = needles(&case.secrets);
        prop_assume!(needles.contains_secret(&input).is_none());
        prop_assert_eq!(mask(&needles, &input, &case.pieces), input);
    }
}
