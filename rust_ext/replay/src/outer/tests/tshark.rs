//! tshark as the judge: with the keys that the file brings, and no others, it opens what was written.

use std::{path::PathBuf, process::Command};

use super::{
    PRESHARED, TALK,
    ends::{self, Wire},
    outcomes, talk,
};
use crate::{capture::LinkType, pcapng::PcapngWriter};

/// One line a packet: number, whether the handshake is right, inner source, decryption error.
fn judge(name: &str, capture: &[u8]) -> Option<Vec<String>> {
    let path: PathBuf =
        std::env::temp_dir().join(format!("pyfw-{name}-{}.pcapng", std::process::id()));
    std::fs::write(&path, capture).unwrap();
    let fields = ["wg.type", "wg.handshake_ok", "wg.decryption_error", "ip.src"];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=,", "-E", "occurrence=l"]);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = tshark.output();
    std::fs::remove_file(&path).unwrap();
    let Ok(output) = output else {
        eprintln!("skipped: tshark is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect())
}

fn capture(wire: &Wire, key_log: &str) -> Vec<u8> {
    let interfaces = [("inner", LinkType::Raw), ("outer", LinkType::Raw)];
    let mut writer = PcapngWriter::new(Vec::new(), &interfaces, None).unwrap();
    // The keys need only come before the packets that they open.
    writer.packet(0, 0, &ends::packet(0, b"before"), 0, false, None).unwrap();
    writer.secrets(key_log).unwrap();
    for (id, packet) in (1..).zip(wire.packets()) {
        writer.packet(1, id * 1000, &packet, id, false, Some("note")).unwrap();
    }
    writer.finish().unwrap()
}

/// What tshark sees of [`TALK`]; the last column is the innermost source.
const SEEN: [&str; 6] = [
    ",,,192.0.2.1",
    "1,,,192.0.2.1",
    "2,1,,192.0.2.2",
    "4,,,192.0.2.1",
    "4,,,10.0.0.1",
    "4,,,10.0.0.2",
];

#[test]
fn tshark_opens_what_was_written_by_either_ends_keys() {
    for (name, preshared_key) in [("plain", [0; 32]), ("preshared", PRESHARED)] {
        let wire = talk(preshared_key);
        for end in 0..2 {
            let Some(seen) = judge(name, &capture(&wire, &wire.key_log(end))) else { return };
            assert_eq!(seen, SEEN, "{name}, end {end}");
        }
    }
}

#[test]
fn tshark_and_the_opener_agree_on_wrong_keys_and_forged_data() {
    let mut wire = talk(PRESHARED);
    wire.sent[4][20] ^= 1;
    let forged = [&TALK[..4], &["forged"]].concat();
    assert_eq!(outcomes(&mut ends::opener(&wire.key_log(0)), &wire.sent), forged);
    let Some(seen) = judge("forged", &capture(&wire, &wire.key_log(0))) else { return };
    assert_eq!(seen, [&SEEN[..5], &["4,,1,192.0.2.2"]].concat());

    let without = wire.key_log(0).replace("PRESHARED_KEY", "#");
    let Some(seen) = judge("unshared", &capture(&wire, &without)) else { return };
    assert_eq!(seen[2], "2,0,,192.0.2.2");
    assert!(seen.iter().all(|line| line.contains(",192.0.2.")), "{seen:?}");
}
