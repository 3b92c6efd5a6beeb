//! tshark decrypts written captures with the keys in the file, and no others.

use std::{path::PathBuf, process::Command};

use super::{
    EXCHANGE, PRESHARED, describe, exchange,
    peers::{self, Wire},
};
use crate::{capture::LinkType, pcapng::PcapngWriter};

/// Returns a line per packet: type, whether the handshake is valid, decryption error, innermost source.
fn tshark(name: &str, capture: &[u8]) -> Option<Vec<String>> {
    let path: PathBuf =
        std::env::temp_dir().join(format!("pyfw-{name}-{}.pcapng", std::process::id()));
    std::fs::write(&path, capture).unwrap();
    let fields = ["wg.type", "wg.handshake_ok", "wg.decryption_error", "ip.src"];
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=,", "-E", "occurrence=l"]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = command.output();
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
    // The keys must precede only the packets that they decrypt.
    writer.packet(0, 0, &peers::packet(0, b"before"), 0, false, None).unwrap();
    writer.secrets(key_log).unwrap();
    for (id, packet) in (1..).zip(wire.packets()) {
        writer.packet(1, id * 1000, &packet, id, false, Some("note")).unwrap();
    }
    writer.finish().unwrap()
}

/// tshark's view of [`EXCHANGE`].
const DISSECTED: [&str; 6] = [
    ",,,192.0.2.1",
    "1,,,192.0.2.1",
    "2,1,,192.0.2.2",
    "4,,,192.0.2.1",
    "4,,,10.0.0.1",
    "4,,,10.0.0.2",
];

#[test]
fn tshark_decrypts_with_the_keys_of_either_peer() {
    for (name, preshared_key) in [("plain", [0; 32]), ("preshared", PRESHARED)] {
        let wire = exchange(preshared_key);
        for peer in 0..2 {
            let Some(lines) = tshark(name, &capture(&wire, &wire.key_log(peer))) else { return };
            assert_eq!(lines, DISSECTED, "{name}, peer {peer}");
        }
    }
}

#[test]
fn tshark_agrees_on_wrong_keys_and_forged_data() {
    let mut wire = exchange(PRESHARED);
    wire.sent[4][20] ^= 1;
    let forged = [&EXCHANGE[..4], &["forged"]].concat();
    assert_eq!(describe(&mut peers::decryptor(&wire.key_log(0)), &wire.sent), forged);
    let Some(lines) = tshark("forged", &capture(&wire, &wire.key_log(0))) else { return };
    assert_eq!(lines, [&DISSECTED[..5], &["4,,1,192.0.2.2"]].concat());

    let without = wire.key_log(0).replace("PRESHARED_KEY", "#");
    let Some(lines) = tshark("unshared", &capture(&wire, &without)) else { return };
    assert_eq!(lines[2], "2,0,,192.0.2.2");
    assert!(lines.iter().all(|line| line.contains(",192.0.2.")), "{lines:?}");
}
