use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket as Plain},
    time::Duration,
};

use pyfw_core::{
    aead::{Aead, Slot, TransportKey},
    outbound::gso_egress::GsoEgress,
    wireguard::{
        commands::{OutboundCommand, SendSession},
        peer::Activity,
    },
};

use super::*;
use crate::sys::{
    namespace::{in_own_namespace, set_address, set_up},
    tun::{Tun, TunOffloads},
    udp::bind_pair,
};

const PEER: PeerId = PeerId(0);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

#[test]
fn a_removed_source_is_used_again_once_it_is_back() {
    in_own_namespace(|| {
        let tun = Tun::open("t0", TunOffloads::default()).unwrap();
        set_address("t0", OURS);
        set_up("t0", true);
        let shared = Shared::new(tun, None).unwrap();
        let far = Plain::bind("127.0.0.1:0").unwrap();
        far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let source = Some(Source { address: OURS.into(), interface: 0 });
        let path = Path { source, destination: far.local_addr().unwrap() };
        let (v4, v6, _) = bind_pair(0, 0).unwrap();
        let mut egress = UdpEgress::new(Arc::new(Sockets { v4, v6 }), true);
        let mut outbound = outbound(path);
        let mut from = |now_ns| -> IpAddr {
            outbound.handle_command(OutboundCommand::Keepalive(PEER), now_ns);
            outbound.finish(now_ns);
            assert_eq!(egress.flush(&mut outbound, 0, &shared, now_ns), Flush::Done);
            far.recv_from(&mut [0; 64]).unwrap().1.ip()
        };
        assert_eq!(from(SECOND_NS), OURS);
        set_address("t0", OTHER);
        assert_eq!(from(2 * SECOND_NS), Ipv4Addr::LOCALHOST);
        set_address("t0", OURS);
        assert_eq!(from(4 * SECOND_NS), OURS, "the peer may accept replies from no other");
    });
}

fn outbound(path: Path) -> Outbound {
    let gso = GsoEgress::new(64, 4);
    let mut outbound = Outbound::new(gso, Box::new(Plaintext), 1420, Arc::default());
    let activity = Arc::new(Activity::default());
    let session = SendSession {
        key: [1; 32].into(),
        remote_index: 1,
        local_index: 1,
        created_ns: 1,
        initiator: true,
    };
    for command in [
        OutboundCommand::AddPeer { peer: PEER, activity },
        OutboundCommand::SetPath(PEER, Some(path)),
        OutboundCommand::Install { peer: PEER, session, confirm: false },
    ] {
        outbound.handle_command(command, 1);
    }
    outbound
}

struct Plaintext;

impl Aead for Plaintext {
    fn name(&self) -> &'static str {
        "none"
    }

    fn seal(&mut self, _: &TransportKey, _: &mut [u8], _: &[Slot]) {}

    fn open(&mut self, _: &TransportKey, _: &mut [u8], _: &[Slot], _: &mut [bool]) {}
}
