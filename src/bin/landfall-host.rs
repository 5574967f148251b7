//! The program that supervises runs on a host. Uploaded by `landfall`; not meant to be run by hand.

fn main() -> std::process::ExitCode {
    landfall::host::main()
}
