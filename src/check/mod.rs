//! Looks at an application and judges what is seen: HTTP, JSON paths, expectations, retries. The same code looks from the client
//! and from the host. Knows nothing of steps, records or masking rules, and prints nothing.

pub mod expect;
pub mod http;
pub mod json_path;
pub mod retry;

pub use expect::{Answer, MAX_OBSERVED, Seen, judge, unanswered};
pub use json_path::JsonPath;
pub use retry::{Attempts, Next};
