//! Colours and forms of what is shown: tones by meaning, times. Decides nothing about when colours are used.

use std::time::Duration;

use console::Style;

/// What a piece of text means, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// An error, a failure, a line of stderr.
    Bad,
    /// Something to know.
    Warn,
    /// A help.
    Help,
    /// What names the thing that a line is about.
    Strong,
    /// What may be overlooked.
    Faint,
    /// A host, by its place among the hosts of the run.
    Host(usize),
}

/// Colours text, or leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    /// Whether there are colours.
    pub colour: bool,
}

impl Paint {
    /// The text in its tone.
    pub fn paint(self, tone: Tone, text: impl AsRef<str>) -> String {
        let style = match tone {
            Tone::Good => Style::new().green(),
            Tone::Bad => Style::new().red().bold(),
            Tone::Warn => Style::new().yellow().bold(),
            Tone::Help => Style::new().cyan().bold(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dim(),
            Tone::Host(n) => [Style::cyan, Style::magenta, Style::blue, Style::yellow, Style::green][n % 5](Style::new()),
        };
        style.force_styling(self.colour).apply_to(text.as_ref()).to_string()
    }
}

/// A time as people say it: `0.4s`, `12.3s`, `2m 05s`, `1h 02m 05s`.
pub fn duration(time: Duration) -> String {
    let tenths = (time.as_millis() + 50) / 100;
    let seconds = tenths / 10;
    match seconds {
        0..60 => format!("{seconds}.{}s", tenths % 10),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m {:02}s", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let table =
            [(0, "0.0s"), (949, "0.9s"), (950, "1.0s"), (59_960, "1m 00s"), (125_000, "2m 05s"), (3_725_000, "1h 02m 05s")];
        for (ms, shown) in table {
            assert_eq!(duration(Duration::from_millis(ms)), shown, "{ms}");
        }
    }

    #[test]
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Paint { colour: false }.paint(Tone::Bad, "x"), "x");
        assert_eq!(Paint { colour: true }.paint(Tone::Bad, "x"), "\u{1b}[31m\u{1b}[1mx\u{1b}[0m");
    }
}
