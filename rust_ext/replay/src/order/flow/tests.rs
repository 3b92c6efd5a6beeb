use super::*;

#[test]
fn ordered_arrivals_are_neither_early_nor_late() {
    let flow = arrivals(5, &[0, 1, 2, 3, 4]);
    assert_eq!((flow.delivered, flow.early, flow.late, flow.gaps), (5, 0, 0, 0));
}

#[test]
fn segments_that_overtake_a_late_one_are_early() {
    // RFC 4737 §4.2: the second segment arrives after three that were sent later.
    let flow = arrivals(5, &[0, 2, 3, 4, 1]);
    assert_eq!((flow.early, flow.late, flow.extent, flow.distance), (3, 1, 3, 3));
    assert_eq!(flow.spurious, 1);
}

#[test]
fn a_swap_is_one_early_one_late_and_not_spurious() {
    let flow = arrivals(4, &[1, 0, 2, 3]);
    assert_eq!((flow.early, flow.late, flow.extent, flow.spurious), (1, 1, 1, 0));
}

#[test]
fn lost_segments_leave_gaps() {
    let flow = arrivals(8, &[0, 3, 4, 7]);
    assert_eq!((flow.delivered, flow.late, flow.gaps), (4, 0, 2));
}

#[test]
fn a_repeated_segment_is_a_duplicate() {
    let flow = arrivals(3, &[0, 1, 1, 2]);
    assert_eq!((flow.delivered, flow.duplicates, flow.unmatched), (3, 1, 0));
}

#[test]
fn a_segment_that_was_never_sent_is_unmatched() {
    let mut flow = Flow::default();
    flow.add_sent(&datagram(1));
    flow.add_arrived(&datagram(9), None, |_, _| {});
    assert_eq!(flow.finish().unmatched, 1);
}

#[test]
fn tcp_early_counts_survive_a_sequence_wrap() {
    let first = u32::MAX - 150;
    let segment = |n: u32| Segment {
        content: u64::from(n),
        length: 100,
        tcp: Some((first.wrapping_add(100 * n), 100)),
    };
    let mut flow = Flow::default();
    let positions: Vec<u64> = (0..5).map(|n| flow.add_sent(&segment(n))).collect();
    assert_eq!(positions, [0, 100, 200, 300, 400]);
    for n in [0, 2, 3, 1, 4] {
        flow.add_arrived(&segment(n), None, |_, _| {});
    }
    assert_eq!((flow.counts.early, flow.counts.late), (2, 1));
}

#[test]
fn a_late_segment_marks_earlier_points_early() {
    let mut flow = Flow::default();
    (0..3).for_each(|n| {
        flow.add_sent(&datagram(n));
    });
    let mut changes = Vec::new();
    for (index, n) in [1, 2, 0].into_iter().enumerate() {
        let set_kind = |point, kind| changes.push((point, kind));
        let (_, kind) = flow.add_arrived(&datagram(n), Some(index), set_kind);
        assert_eq!(kind == PointKind::Late, n == 0);
    }
    assert_eq!(changes, [(0, PointKind::Early), (1, PointKind::Early)]);
}

fn arrivals(sent: u64, order: &[u64]) -> FlowCounts {
    let mut flow = Flow::default();
    for number in 0..sent {
        flow.add_sent(&datagram(number));
    }
    for &number in order {
        flow.add_arrived(&datagram(number), None, |_, _| {});
    }
    flow.finish().clone()
}

fn datagram(content: u64) -> Segment {
    Segment { content, length: 10, tcp: None }
}
