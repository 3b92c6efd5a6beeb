//! The pieces of a frame in its buffer.

use crate::frame::{Frame, Slice};

/// The pieces of a frame: its slices, or itself, for which `whole` is the room.
pub fn pieces<'s>(frame: &Frame, slices: &'s [Slice], whole: &'s mut [Slice; 1]) -> &'s [Slice] {
    if frame.slices == 0 {
        *whole = [Slice { offset: frame.offset, length: frame.length }];
        return whole;
    }
    &slices[frame.first_slice as usize..][..usize::from(frame.slices)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{build::Build, parse};

    #[test]
    fn an_unsliced_frame_is_one_piece() {
        let bytes = Build::tcp4().payload(100).bytes();
        let frame = parse(&bytes, 7).unwrap();
        let whole = [Slice { offset: 7, length: 140 }];
        assert_eq!(pieces(&frame, &[], &mut [Slice { offset: 0, length: 0 }]), whole);
    }

    #[test]
    fn several_pieces_are_the_slices_of_the_frame() {
        let mut frame = parse(&Build::udp4().payload(10).bytes(), 0).unwrap();
        frame.first_slice = 1;
        frame.slices = 2;
        let slices = [1, 2, 3, 4].map(|offset| Slice { offset, length: 1 });
        assert_eq!(pieces(&frame, &slices, &mut [slices[0]]), &slices[1..3]);
    }
}
