//! Playbooks and the inventory: text in, a [`ResolvedPlaybook`] or a full list of what is wrong out. Contacts nothing.

mod resolved;

pub use resolved::{
    ClientSecret, ClientValue, DriverWork, HereProbe, LocalCommand, LocalStep, ResolvedHost, ResolvedPlaybook, ResolvedStep,
    Serial, Target, Work,
};
