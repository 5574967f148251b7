//! What runs on the host: owns nothing itself, names the parts.

pub mod mask;
pub mod secrets;
