use super::*;

#[test]
fn in_order_nothing_is_early_or_late() {
    let flow = arrivals(5, &[0, 1, 2, 3, 4]);
    assert_eq!((flow.delivered, flow.early, flow.late, flow.gaps), (5, 0, 0, 0));
}

#[test]
fn one_late_segment_makes_those_before_it_early() {
    // RFC 4737 §4.2: the second arrives behind three that were sent later.
    let flow = arrivals(5, &[0, 2, 3, 4, 1]);
    assert_eq!((flow.early, flow.late, flow.extent, flow.distance), (3, 1, 3, 3));
    assert_eq!(flow.spurious, 1);
}

#[test]
fn a_swap_is_early_once_late_once_and_not_spurious() {
    let flow = arrivals(4, &[1, 0, 2, 3]);
    assert_eq!((flow.early, flow.late, flow.extent, flow.spurious), (1, 1, 1, 0));
}

#[test]
fn what_never_comes_leaves_gaps() {
    let flow = arrivals(8, &[0, 3, 4, 7]);
    assert_eq!((flow.delivered, flow.late, flow.gaps), (4, 0, 2));
}

#[test]
fn a_segment_that_comes_again_is_a_duplicate() {
    let flow = arrivals(3, &[0, 1, 1, 2]);
    assert_eq!((flow.delivered, flow.duplicates, flow.strange), (3, 1, 0));
}

#[test]
fn a_segment_nobody_sent_is_strange() {
    let mut flow = Flow::default();
    flow.sent(&datagram(1));
    flow.arrived(&datagram(9), None, |_, _| {});
    assert_eq!(flow.finish().strange, 1);
}

#[test]
fn tcp_counts_early_as_the_receiver_does_across_the_wrap() {
    let first = u32::MAX - 150;
    let segment = |n: u32| Segment {
        content: u64::from(n),
        length: 100,
        tcp: Some((first.wrapping_add(100 * n), 100)),
    };
    let mut flow = Flow::default();
    let positions: Vec<u64> = (0..5).map(|n| flow.sent(&segment(n))).collect();
    assert_eq!(positions, [0, 100, 200, 300, 400]);
    for n in [0, 2, 3, 1, 4] {
        flow.arrived(&segment(n), None, |_, _| {});
    }
    assert_eq!((flow.counts.early, flow.counts.late), (2, 1));
}

#[test]
fn early_marks_are_set_once_the_late_one_shows_them() {
    let mut flow = Flow::default();
    (0..3).for_each(|n| {
        flow.sent(&datagram(n));
    });
    let mut marks = Vec::new();
    for (place, n) in [1, 2, 0].into_iter().enumerate() {
        let verdict = flow.arrived(&datagram(n), Some(place), |at, mark| marks.push((at, mark)));
        assert_eq!(verdict.mark == Mark::Late, n == 0);
    }
    assert_eq!(marks, [(0, Mark::Early), (1, Mark::Early)]);
}

fn arrivals(sent: u64, order: &[u64]) -> FlowCounts {
    let mut flow = Flow::default();
    for number in 0..sent {
        flow.sent(&datagram(number));
    }
    for &number in order {
        flow.arrived(&datagram(number), None, |_, _| {});
    }
    flow.finish().clone()
}

fn datagram(content: u64) -> Segment {
    Segment { content, length: 10, tcp: None }
}
