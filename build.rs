//! Builds `landfall-host`, the program that Landfall uploads, and leaves it compressed for `runtime::payload` to embed.
//!
//! Cargo is called again on this same package, without the client's dependencies, for each Linux target whose standard library is
//! installed. A target that is missing is written down as missing; the client then refuses such a host by name.
#![allow(clippy::print_stdout, reason = "it is how a build script speaks")]

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

/// The architectures of droplets, as `uname -m` says them, and the target that makes a static program for each.
const TARGETS: [(&str, &str); 2] = [("x86_64", "x86_64-unknown-linux-musl"), ("aarch64", "aarch64-unknown-linux-musl")];
const PROGRAM: &str = "landfall-host";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // The inner build comes here too: it is the host program itself, and embeds nothing.
    if env::var_os("CARGO_FEATURE_CLIENT").is_none() {
        return Ok(());
    }
    let build = Build::from_env()?;
    build.watch_targets()?;
    let (mut table, mut missing) = (String::from("&[\n"), String::from("&[\n"));
    for (arch, target) in TARGETS {
        match build.program(arch, target)? {
            Some(program) => table.push_str(&build.embed(arch, &program)?),
            None => writeln!(missing, "    ({arch:?}, {target:?}),")?,
        }
    }
    let text = format!(
        "#[allow(clippy::unreadable_literal)]\nstatic BUILT: &[Payload] = {table}];\nstatic MISSING: &[(&str, &str)] = {missing}];\n"
    );
    fs::write(build.out.join("payloads.rs"), text)?;
    Ok(())
}

struct Build {
    cargo: PathBuf,
    rustc: PathBuf,
    package: PathBuf,
    out: PathBuf,
    host: String,
    /// The inner build's: a debug build wants its answer soon, a release the best program.
    profile: &'static str,
}

impl Build {
    fn from_env() -> Result<Self, Box<dyn Error>> {
        let var = |name: &str| env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"));
        Ok(Self {
            cargo: var("CARGO")?.into(),
            rustc: var("RUSTC")?.into(),
            package: var("CARGO_MANIFEST_DIR")?.into(),
            out: var("OUT_DIR")?.into(),
            host: env::var("HOST")?,
            profile: if env::var("PROFILE")? == "release" { "host" } else { "host-dev" },
        })
    }

    /// A `rustup target add` changes this file, and with it what can be built.
    fn watch_targets(&self) -> Result<(), Box<dyn Error>> {
        let components = Path::new(&self.rustc_prints("sysroot", None)?).join("lib/rustlib/components");
        if components.exists() {
            println!("cargo::rerun-if-changed={}", components.display());
        }
        for file in ["Cargo.toml", "Cargo.lock"] {
            println!("cargo::rerun-if-changed={file}");
        }
        Ok(())
    }

    /// Builds the program for an architecture; none when that cannot be done here.
    fn program(&self, arch: &str, target: &str) -> Result<Option<PathBuf>, Box<dyn Error>> {
        if env::var_os("DOCS_RS").is_some() {
            return Ok(None);
        }
        let own = self.host.starts_with(&format!("{arch}-")) && self.host.contains("-linux-");
        if self.has_std(target) {
            let linker = if own { None } else { Some("rust-lld") };
            return self.cargo(target, linker).map(Some).map_err(Into::into);
        }
        let advice = format!("rustup target add {target}");
        if !own {
            println!("cargo::warning={arch} droplets will be refused: no standard library for {target} ({advice})");
            return Ok(None);
        }
        match self.cargo(&self.host, None) {
            Ok(program) => {
                println!(
                    "cargo::warning=the program for {arch} droplets is static against glibc, for {target} is missing ({advice})"
                );
                Ok(Some(program))
            }
            // A machine without the static C library. Any other failure is one of the program itself.
            Err(error) if error.contains("linking with") => {
                println!("cargo::warning={arch} droplets will be refused: no static C library, and no {target} ({advice})");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn has_std(&self, target: &str) -> bool {
        let Ok(folder) = self.rustc_prints("target-libdir", Some(target)) else { return false };
        let Ok(mut files) = fs::read_dir(folder) else { return false };
        files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
    }

    fn rustc_prints(&self, what: &str, target: Option<&str>) -> Result<String, Box<dyn Error>> {
        let mut rustc = Command::new(&self.rustc);
        rustc.args(["--print", what]).args(target.iter().flat_map(|target| ["--target", target]));
        let output = rustc.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("rustc --print {what}: {}", output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// Runs the inner cargo; the error is what it said.
    fn cargo(&self, target: &str, linker: Option<&str>) -> Result<PathBuf, String> {
        let folder = self.out.join("host-target");
        let mut cargo = Command::new(&self.cargo);
        cargo.current_dir(&self.package).arg("build").args(["--bin", PROGRAM, "--no-default-features", "--features", "host"]);
        cargo.args(["--profile", self.profile, "--target", target, "--target-dir"]).arg(&folder);
        if self.package.join("Cargo.lock").exists() {
            cargo.arg("--locked");
        }
        for (name, _) in env::vars_os() {
            if name.to_str().is_none_or(of_the_outer_build) {
                cargo.env_remove(name);
            }
        }
        // Set even where it says nothing: it keeps flags of the operator's own configuration (`target-cpu=native`) out.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.flags(linker.is_some()).join("\u{1f}"));
        if let Some(linker) = linker {
            cargo.env(format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_")), linker);
        }
        let output = cargo.stdin(Stdio::null()).output().map_err(|error| format!("cargo: {error}"))?;
        if !output.status.success() {
            return Err(format!("{PROGRAM} for {target} failed to build:\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        let program = folder.join(target).join(self.profile).join(PROGRAM);
        watch_sources(&program.with_extension("d"))?;
        Ok(program)
    }

    /// Static; and without this machine's paths, so that the same sources make the same program anywhere.
    fn flags(&self, self_contained: bool) -> Vec<String> {
        let mut flags = vec!["-C".to_owned(), "target-feature=+crt-static".to_owned()];
        if self_contained {
            flags.extend(["-C".to_owned(), "link-self-contained=yes".to_owned()]);
        }
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
        for (folder, name) in [(home, "cargo"), (Some(self.package.clone()), "landfall")] {
            flags.extend(folder.map(|folder| format!("--remap-path-prefix={}={name}", folder.display())));
        }
        flags
    }

    /// Compresses a program next to the table, and makes its entry.
    fn embed(&self, arch: &str, program: &Path) -> Result<String, Box<dyn Error>> {
        let bytes = fs::read(program)?;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gz.write_all(&bytes)?;
        let file = format!("{PROGRAM}-{arch}.gz");
        fs::write(self.out.join(&file), gz.finish()?)?;
        let sha256 = Sha256::digest(&bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        Ok(format!(
            "    Payload {{ arch: {arch:?}, sha256: Cow::Borrowed({sha256:?}), length: {}, \
             gz: Cow::Borrowed(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))) }},\n",
            bytes.len()
        ))
    }
}

/// What describes the outer build to its build script, or steers it, and would mislead the inner one. How cargo reaches its
/// registries, and the job slots that both share, stay.
fn of_the_outer_build(name: &str) -> bool {
    let stays = ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    let steers = ["RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_LINKER", "CLIPPY_ARGS", "TARGET", "HOST", "OUT_DIR", "PROFILE"];
    name.starts_with("CARGO") && !stays.iter().any(|prefix| name.starts_with(prefix)) || steers.contains(&name)
}

/// The sources that the program was made of, as cargo wrote them down: a change elsewhere does not build it again.
fn watch_sources(dep_info: &Path) -> Result<(), String> {
    let text = fs::read_to_string(dep_info).map_err(|error| format!("{}: {error}", dep_info.display()))?;
    let sources = text.split_once(": ").map_or("", |(_, sources)| sources);
    // A blank inside a path is written with a backslash before it.
    for source in sources.replace("\\ ", "\0").split_whitespace() {
        println!("cargo::rerun-if-changed={}", source.replace('\0', " "));
    }
    Ok(())
}
