//! How fast the mask is, and how long it keeps a line waiting. Says something only of an optimised build:
//! `cargo test --release mask::speed -- --nocapture`.

use super::{Masker, Needles, Plain, Secret};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Values that differ from their first byte on, as generated passwords do.
fn secrets(count: u32) -> Vec<Secret> {
    let letter =
        |seed: u32| char::from(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[(seed >> 16) as usize % 64]);
    let value = |mut seed: u32| {
        let next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            letter(seed)
        };
        std::iter::repeat_with(next).take(32).collect::<String>()
    };
    (0..count).map(|index| Secret::new(format!("S{index}"), value(index * 7919 + 1), true)).collect()
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs an optimised build")]
fn fifty_megabytes_with_a_hundred_secrets_pass_in_time() {
    let secrets = secrets(100);
    let needles = Arc::new(Needles::new(&secrets, &Plain::default()));
    let lines: Vec<String> = (0..1000)
        .map(|number| {
            let end = if number % 100 == 0 { secrets[number % 100].value() } else { b"192.0.2.1" };
            format!(
                "2026-01-01T00:00:{:02}Z info  request {number} of worker done in 13 ms by {}\n",
                number % 60,
                String::from_utf8_lossy(end)
            )
        })
        .collect();
    let (mut masker, mut out) = (Masker::new(needles), Vec::new());
    let (mut fed, mut waits) = (0, Vec::new());
    let began = Instant::now();
    for line in lines.iter().cycle() {
        let handed = Instant::now();
        masker.push(line.as_bytes(), &mut out);
        waits.push(handed.elapsed());
        fed += line.len();
        if out.len() > 64 << 10 {
            out.clear();
        }
        if fed >= 50 << 20 {
            break;
        }
    }
    let took = began.elapsed();
    waits.sort_unstable();
    let (speed, wait) = ((fed >> 20) as f64 / took.as_secs_f64(), waits[waits.len() / 100 * 99]);
    eprintln!("{speed:.0} MB/s, 99th percentile of a line {wait:?}");
    assert!(speed >= 40.0, "{speed:.0} MB/s");
    assert!(wait <= Duration::from_millis(20), "{wait:?}");
}
