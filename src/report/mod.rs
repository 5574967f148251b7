//! What a user sees of a run: reporters that are fed from one linear stream of events, live, attached later or replayed.
//! Reporters hold the display settings, events do not. Knows nothing of connections, of hosts or of how a run is carried out.

mod display;
mod sanitize;
mod sink;
mod style;

pub use display::{Colours, Display, Environment, Face, Mode, Output};
pub use sanitize::{label, line, text};
pub use sink::Sink;
pub use style::{Paint, Tone, duration};
