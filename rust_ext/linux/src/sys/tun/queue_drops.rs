//! Frames that the kernel drops in front of a TUN because its queue is full.

use std::{fs, io};

/// Columns after the name (net/core/net-procfs.c): eight of what is received, then bytes, packets, errors and
/// drops of what is sent.
const TX_DROPPED: usize = 11;

/// Returns the frames dropped since the interface exists; `None` if the calling thread's network namespace has
/// no such interface.
///
/// # Errors
/// The system's, if procfs cannot be read.
pub fn queue_drops(interface: &str) -> io::Result<Option<u64>> {
    Ok(find(&fs::read_to_string("/proc/thread-self/net/dev")?, interface))
}

fn find(text: &str, interface: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, columns) = lines.find(|(name, _)| name.trim() == interface)?;
    columns.split_whitespace().nth(TX_DROPPED)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transmit_drops_are_found_by_interface() {
        let text = "Inter-| Receive | Transmit\n face |bytes packets …\n  \
            wg10: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n   wg1: 0 0 0 0 0 0 0 0 0 0 0 7 0 0 0 0\n";
        assert_eq!(find(text, "wg1"), Some(7));
        assert_eq!(find(text, "wg10"), Some(12));
        assert_eq!(find(text, "wg"), None);
    }
}
