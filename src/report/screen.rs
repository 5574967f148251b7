//! The terminal itself: lines that stay, and under them one live line a host. All of indicatif is behind [`Screen`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::style::{Paint, Tone, duration};
use crate::name::HostName;

/// How often a live line moves: partial lines show within this time.
const TICK: Duration = Duration::from_millis(80);

/// What a host is doing, as its live line tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Live {
    /// Since when.
    pub(super) since: Instant,
    /// In words, on one line, without control sequences.
    pub(super) words: String,
}

/// Something that shows lines above live lines.
pub(super) trait Screen: Send {
    /// Shows lines that stay.
    fn print(&mut self, lines: &str);
    /// Sets the live line of a host, or takes it away.
    fn live(&mut self, host: Option<&HostName>, live: Option<Live>);
    /// Takes all live lines away.
    fn clear(&mut self);
    /// Columns.
    fn width(&self) -> usize;
}

/// The terminal behind stderr.
pub(super) struct Stderr {
    bars: MultiProgress,
    live: HashMap<Option<HostName>, (ProgressBar, Live)>,
    paint: Paint,
}

impl Stderr {
    pub(super) fn new(paint: Paint) -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), live: HashMap::new(), paint }
    }

    fn bar(&self, since: Instant) -> ProgressBar {
        let paint = self.paint;
        let took = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            // Writing to indicatif's own buffer does not fail.
            _ = write!(out, "{}", paint.paint(Tone::Faint, duration(since.elapsed())));
        };
        let template = if paint.colour { "{spinner:.cyan} {took} {wide_msg}" } else { "{spinner} {took} {wide_msg}" };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner()
            .with_style(style.tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]).with_key("took", took));
        let bar = self.bars.add(bar);
        bar.enable_steady_tick(TICK);
        bar
    }
}

impl Screen for Stderr {
    fn print(&mut self, lines: &str) {
        // A terminal that is gone shows nothing; the run goes on.
        _ = self.bars.println(lines);
    }

    fn live(&mut self, host: Option<&HostName>, live: Option<Live>) {
        let key = host.cloned();
        match (self.live.get_mut(&key), live) {
            (Some((bar, shown)), Some(live)) if shown.since == live.since => {
                if shown.words != live.words {
                    bar.set_message(live.words.clone());
                    *shown = live;
                }
            }
            (shown, live) => {
                if let Some((bar, _)) = shown {
                    bar.finish_and_clear();
                    self.bars.remove(bar);
                    self.live.remove(&key);
                }
                if let Some(live) = live {
                    let bar = self.bar(live.since);
                    bar.set_message(live.words.clone());
                    self.live.insert(key, (bar, live));
                }
            }
        }
    }

    fn clear(&mut self) {
        for (_, (bar, _)) in self.live.drain() {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        _ = self.bars.clear();
    }

    fn width(&self) -> usize {
        usize::from(console::Term::stderr().size().1)
    }
}
