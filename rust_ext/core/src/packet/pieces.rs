//! The contiguous pieces of a frame in its buffer.

use crate::frame::{Frame, Slice};

/// Returns the pieces of a frame in order: its slices, or the frame itself, which `storage` then holds.
pub fn pieces<'s>(frame: &Frame, slices: &'s [Slice], storage: &'s mut [Slice; 1]) -> &'s [Slice] {
    if frame.slices == 0 {
        *storage = [Slice { offset: frame.offset, length: frame.length }];
        return storage;
    }
    &slices[frame.first_slice as usize..][..usize::from(frame.slices)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{build::Build, parse};

    #[test]
    fn a_contiguous_frame_is_one_piece() {
        let bytes = Build::tcp4().payload(100).bytes();
        let frame = parse(&bytes, 7).unwrap();
        let expected = [Slice { offset: 7, length: 140 }];
        assert_eq!(pieces(&frame, &[], &mut [Slice { offset: 0, length: 0 }]), expected);
    }

    #[test]
    fn the_pieces_of_a_sliced_frame_are_its_slices() {
        let mut frame = parse(&Build::udp4().payload(10).bytes(), 0).unwrap();
        frame.first_slice = 1;
        frame.slices = 2;
        let slices = [1, 2, 3, 4].map(|offset| Slice { offset, length: 1 });
        assert_eq!(pieces(&frame, &slices, &mut [slices[0]]), &slices[1..3]);
    }
}
