//! Masks secrets in the output of a step before a byte of it is written or sent. Owns what is looked for and how; must not know
//! where secrets are read from (`secrets` does), nor what output is or where it goes.
//!
//! A stream is read in several ways at once (`scanner`): as it is, without colours, with percent or backslash escapes undone,
//! with white space squeezed out. Each reading (`view`) runs over an automaton that knows at any byte how much of a needle has
//! been seen, so exactly that much is held back and all else leaves at once (`masker`). Where no three bytes in a row begin a needle,
//! nobody reads closely (`sieve`). What no reading can undo, such as base64, is a needle of its own (`needles`, `encode`). A masked place reads `[masked:NAME]`, whatever its length was. What is left is read
//! once more for personal data, which only its form tells (`patterns`).

mod automaton;
mod decode;
mod encode;
mod masker;
mod matcher;
mod needles;
mod patterns;
mod rules;
mod scanner;
mod sieve;
mod spans;
mod view;

pub use masker::Masker;
pub use needles::{Found, Needles, Secret};
pub use patterns::Patterns;
pub use rules::{ANYWHERE, Plain, SHORTEST, Verdict, WhyNot, is_secret_key};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;
