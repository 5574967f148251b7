//! The host programs that this client carries, one for each architecture that could be built. Does no uploading.

use std::borrow::Cow;
use std::io::Read as _;

include!(concat!(env!("OUT_DIR"), "/payloads.rs"));

/// A host program, compressed.
#[derive(Debug, Clone)]
pub struct Payload {
    /// As `uname -m` says it.
    pub arch: &'static str,
    /// Of the program itself, in hex.
    pub sha256: Cow<'static, str>,
    /// Of the program itself, in bytes.
    pub length: usize,
    /// The program, compressed by gzip.
    pub gz: Cow<'static, [u8]>,
}

/// That no host program for an architecture is at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MissingTarget {
    /// It could have been built, but was not.
    #[error("this landfall was built without the program for {arch} hosts")]
    NotBuilt {
        /// As the host says it.
        arch: String,
        /// What rustup calls it.
        target: String,
    },
    /// There is none for it.
    #[error("there is no landfall program for {system} hosts")]
    Unsupported {
        /// As the host says it: "Linux riscv64".
        system: String,
    },
}

impl MissingTarget {
    /// What mends it.
    pub fn remedy(&self) -> String {
        match self {
            Self::NotBuilt { target, .. } => format!("rustup target add {target}, then build landfall again"),
            Self::Unsupported { .. } => "landfall works on Linux hosts, on x86_64 and aarch64".to_owned(),
        }
    }
}

impl Payload {
    /// Compresses a program. For tests, and for programs that are not embedded.
    pub fn new(arch: &'static str, program: &[u8]) -> Self {
        use sha2::{Digest as _, Sha256};
        use std::io::Write as _;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        // Writing to a vector does not fail.
        let gz = gz.write_all(program).and_then(|()| gz.finish()).unwrap_or_default();
        let sha256 = Sha256::digest(program).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        Self { arch, sha256: sha256.into(), length: program.len(), gz: gz.into() }
    }

    /// The name of its file on a host: another version or another content is another file.
    pub fn name(&self) -> String {
        format!("host-{}-{}", env!("CARGO_PKG_VERSION"), self.sha256.get(..16).unwrap_or(&self.sha256))
    }

    /// The program as it runs.
    pub fn program(&self) -> std::io::Result<Vec<u8>> {
        let mut program = Vec::with_capacity(self.length);
        flate2::read::GzDecoder::new(&*self.gz).read_to_end(&mut program)?;
        Ok(program)
    }
}

/// All host programs at hand.
#[derive(Debug, Clone)]
pub struct Programs {
    built: Cow<'static, [Payload]>,
    missing: &'static [(&'static str, &'static str)],
}

impl Programs {
    /// Those embedded in this client.
    pub fn embedded() -> Self {
        Self { built: Cow::Borrowed(BUILT), missing: MISSING }
    }

    /// Others.
    pub fn of(built: Vec<Payload>) -> Self {
        Self { built: Cow::Owned(built), missing: MISSING }
    }

    /// All that can be uploaded.
    pub fn built(&self) -> &[Payload] {
        &self.built
    }

    /// The one for a host, by what `uname -s` and `uname -m` say there.
    pub fn for_host(&self, os: &str, machine: &str) -> Result<&Payload, MissingTarget> {
        if os != "Linux" {
            return Err(MissingTarget::Unsupported { system: format!("{os} {machine}") });
        }
        self.for_arch(machine)
    }

    /// The one for an architecture, by what `uname -m` says.
    pub fn for_arch(&self, machine: &str) -> Result<&Payload, MissingTarget> {
        let arch = match machine {
            "amd64" => "x86_64",
            "arm64" => "aarch64",
            other => other,
        };
        if let Some(payload) = self.built.iter().find(|payload| payload.arch == arch) {
            return Ok(payload);
        }
        Err(match self.missing.iter().find(|(missing, _)| *missing == arch) {
            Some((_, target)) => MissingTarget::NotBuilt { arch: machine.to_owned(), target: (*target).to_owned() },
            None => MissingTarget::Unsupported { system: format!("Linux {machine}") },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_embedded_is_what_was_built() {
        let programs = Programs::embedded();
        for payload in programs.built() {
            let program = payload.program().expect("gzip");
            assert_eq!(program.len(), payload.length);
            assert_eq!(Payload::new(payload.arch, &program).sha256, payload.sha256);
            assert!(program.starts_with(b"\x7fELF"));
            assert!(payload.name().starts_with(concat!("host-", env!("CARGO_PKG_VERSION"), "-")));
        }
    }

    #[test]
    fn every_architecture_is_there_or_says_what_mends_it() {
        let programs = Programs::embedded();
        for arch in ["x86_64", "aarch64"] {
            match programs.for_arch(arch) {
                Ok(payload) => assert_eq!(payload.arch, arch),
                Err(error) => {
                    assert!(error.remedy().starts_with(&format!("rustup target add {arch}-unknown-linux-musl")), "{error}");
                }
            }
        }
        assert_eq!(programs.for_arch("amd64").map(|payload| payload.arch).ok(), programs.for_arch("x86_64").map(|p| p.arch).ok());
        let error = programs.for_arch("riscv64").expect_err("none");
        assert_eq!(error.to_string(), "there is no landfall program for Linux riscv64 hosts");
        let error = programs.for_host("FreeBSD", "x86_64").expect_err("none");
        assert_eq!(error.to_string(), "there is no landfall program for FreeBSD x86_64 hosts");
    }
}
