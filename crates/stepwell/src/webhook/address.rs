//! Which addresses may be connected to.
//!
//! A webhook's URL comes from somebody who may not reach what this process can reach: its own machine, its network, the
//! metadata service of its cloud. The tables are IANA's registries of special-purpose addresses; what is not known to
//! be public is denied.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 networks that are not public: first address and length of the prefix.
const DENIED_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// IPv6 networks within the public 2000::/3 that are not public: Teredo and the other protocol assignments,
/// documentation, 6to4 (which holds an IPv4 address of anybody's choice).
const DENIED_V6: &[([u16; 2], u8)] =
    &[([0x2001, 0x0000], 23), ([0x2001, 0x0db8], 32), ([0x2002, 0], 16), ([0x3fff, 0], 20)];

/// Names that stand for a cloud's metadata service. Their addresses are denied too; the names are, in case an
/// allow-list opens the network that they are in.
const DENIED_NAMES: &[&str] =
    &["instance-data", "metadata", "metadata.azure.internal", "metadata.goog", "metadata.google.internal"];

/// Whether everybody on the Internet can reach an address, as far as its number tells.
pub(super) fn is_public(address: IpAddr) -> bool {
    // An IPv4 address stays one when it is written as `::ffff:…`.
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    DENIED_V4.iter().all(|(network, prefix)| {
        let shift = 32 - u32::from(*prefix);
        bits >> shift != u32::from_be_bytes(*network) >> shift
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    // 2000::/3 is all that has been given out. NAT64, unique local, link-local and multicast addresses lie outside.
    bits >> 125 == 0b001
        && DENIED_V6.iter().all(|(network, prefix)| {
            let network = (u128::from(network[0]) << 112) | (u128::from(network[1]) << 96);
            let shift = 128 - u32::from(*prefix);
            bits >> shift != network >> shift
        })
}

/// Whether a name must not be asked for, whatever it resolves to.
pub(super) fn is_denied_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    DENIED_NAMES.iter().any(|denied| name.eq_ignore_ascii_case(denied))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "223.255.255.254",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "2001:200::1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    /// The first and the last address of every denied network, in IPv4 and in the forms of IPv6 that hold one.
    #[test]
    fn both_ends_of_every_denied_network_are_denied_in_every_form() {
        for (network, prefix) in DENIED_V4 {
            let first = u32::from_be_bytes(*network);
            let last = first | u32::MAX.checked_shr(u32::from(*prefix)).unwrap_or(0);
            for bits in [first, last] {
                let v4 = Ipv4Addr::from_bits(bits);
                let low = u128::from(bits);
                let six = |bits: u128| IpAddr::V6(Ipv6Addr::from_bits(bits));
                for form in [
                    IpAddr::V4(v4),
                    IpAddr::V6(v4.to_ipv6_mapped()),
                    IpAddr::V6(v4.to_ipv6_compatible()),
                    six((0x0064_ff9b << 96) | low),
                    six((0x0064_ff9b_0001 << 80) | low),
                    six((0x2002 << 112) | (low << 80)),
                    six((0x2001 << 112) | !low & 0xffff_ffff),
                ] {
                    assert!(!is_public(form), "{form} holds {v4}");
                }
            }
        }
        for (network, prefix) in DENIED_V6 {
            let first = (u128::from(network[0]) << 112) | (u128::from(network[1]) << 96);
            for bits in [first, first | (u128::MAX >> prefix)] {
                assert!(!is_public(IpAddr::V6(Ipv6Addr::from_bits(bits))));
            }
        }
    }

    #[test]
    fn what_lies_outside_of_what_was_given_out_is_denied() {
        for text in [
            "::", "::1", "fc00::1", "fdff::1", "fe80::1", "fec0::1", "ff02::1", "5f00::1", "4000::1",
            "100::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn names_of_metadata_services_are_denied() {
        for name in ["metadata.google.internal", "metadata.google.internal.", "Metadata"] {
            assert!(is_denied_name(name), "{name}");
        }
        assert!(!is_denied_name("metadata.example"));
    }
}
