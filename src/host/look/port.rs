//! Whether a port of this host takes connections from the world: what the kernel listens on, and what Docker publishes past it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::docker;
use super::Sight;
use crate::check::{Seen, shortened};

pub(super) fn look(port: u16) -> Sight {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let listening = tables.iter().flat_map(|table| listeners(table)).filter(|(_, of)| *of == port).map(|(address, _)| address);
    // Without its proxy process Docker publishes by rules of the firewall alone, and nothing is seen to listen.
    let published = docker::run(&["ps", "--format", "{{.Ports}}"]).unwrap_or_default();
    let mut all: Vec<IpAddr> = listening.chain(published.lines().flat_map(|line| publishers(line, port))).collect();
    all.sort_unstable();
    all.dedup();
    let public: Vec<String> = all.iter().filter(|address| is_public(**address)).map(ToString::to_string).collect();
    let expected = format!("port {port} on no public address");
    if public.is_empty() {
        let observed = if all.is_empty() { "nothing listens there" } else { "it listens on private addresses only" };
        return Seen { ok: true, observed: observed.to_owned(), expected }.into();
    }
    let hint = format!(
        "let it listen on 127.0.0.1 only; publish a container's port so (ports: [\"127.0.0.1:{port}:{port}\"]) or not at all: \
         containers of one network reach each other without it, and what Docker publishes goes past ufw"
    );
    let observed = shortened(&format!("it listens on {}", public.join(", ")));
    Sight::of(Seen { ok: false, observed, expected }, Some(hint))
}

/// Addresses and ports that are listened on, from the kernel's table.
fn listeners(table: &str) -> Vec<(IpAddr, u16)> {
    let listener = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, _, state) = (words.next()?, words.next()?, words.next()?);
        let (address, port) = local.split_once(':').filter(|_| state == "0A")?;
        // Words of 32 bits, each in the order of the machine.
        let words: Vec<u32> = address.as_bytes().chunks(8).map_while(hex).collect();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let address = match bytes.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
            16 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
            _ => return None,
        };
        Some((address, u16::try_from(hex(port.as_bytes())?).ok()?))
    };
    table.lines().skip(1).filter_map(listener).collect()
}

fn hex(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Addresses on which a container's port is published, from Docker's list: `0.0.0.0:5432->5432/tcp, [::]:80-81->80-81/tcp`.
fn publishers(list: &str, port: u16) -> Vec<IpAddr> {
    let publisher = |entry: &str| {
        let (outside, _) = entry.trim().split_once("->").filter(|(_, inside)| inside.ends_with("/tcp"))?;
        let (address, ports) = outside.rsplit_once(':')?;
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let range = first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?;
        let address = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        range.contains(&port).then_some(address)
    };
    list.split(',').filter_map(publisher).collect()
}

/// Whether others than this machine and its own networks get there. The unspecified address is every one of the machine's.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared(v4)),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

/// The range that is shared: between carriers, and what private overlay networks use.
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && (64..128).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     \x20  0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0 0 1\n\
                     \x20  1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0 0 2\n\
                     \x20  2: 0100007F:1538 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0 0 3\n\
                     \x20  3: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4\n\
                     \x20  4: 0000000000000000FFFF00000100007F:0BB9 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 5\n";
        let found: Vec<String> = listeners(table).iter().map(|(address, port)| format!("{address} {port}")).collect();
        if cfg!(target_endian = "little") {
            assert_eq!(found, ["127.0.0.1 5432", "0.0.0.0 22", "::1 3000", "127.0.0.1 3001"]);
        }
    }

    #[test]
    fn dockers_list_is_read() {
        let list =
            "0.0.0.0:5432->5432/tcp, [::]:5432->5432/tcp, 6379/tcp, 127.0.0.1:3000-3002->3000-3002/tcp, 0.0.0.0:53->53/udp";
        let found = |port| publishers(list, port).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!([5432, 6379, 3001, 53, 3003].map(found), ["0.0.0.0 ::", "", "127.0.0.1", "", ""]);
    }

    #[test]
    fn private_addresses_are_not_the_world() {
        let public = |text: &str| is_public(text.parse().expect("an address"));
        for text in ["0.0.0.0", "::", "203.0.113.7", "2001:db8::1"] {
            assert!(public(text), "{text}");
        }
        for text in ["127.0.0.1", "127.0.0.53", "::1", "10.0.0.5", "172.17.0.1", "192.168.1.1", "fd00::1", "fe80::1"] {
            assert!(!public(text), "{text}");
        }
        assert!(!is_public(IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1))));
    }
}
