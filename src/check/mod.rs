//! Looks at an application and judges what is seen: HTTP, connections, JSON paths, expectations, retries, several sides. The same
//! code looks from the client and from the host. Knows nothing of steps, records or masking rules, and prints nothing.

#[cfg(feature = "client")]
pub mod certificate;
pub mod expect;
pub mod http;
pub mod json_path;
pub mod retry;
pub mod sides;
pub mod tcp;
pub mod watch;

pub use expect::{Answer, MAX_OBSERVED, Seen, judge, shortened, statuses, unanswered};
pub use json_path::JsonPath;
pub use retry::{Attempts, Next};
pub use watch::Watching;
