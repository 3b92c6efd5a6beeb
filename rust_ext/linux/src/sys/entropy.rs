//! The kernel's random numbers.

use pyfw_core::wireguard::device::Entropy;
use rustix::{
    io::Errno,
    rand::{GetRandomFlags, getrandom},
};

/// Random bytes from getrandom(2).
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        let mut filled = 0;
        while filled < bytes.len() {
            match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                // There is no fallback that is fit for keys; Linux has had the call since 3.17.
                Err(error) => panic!("getrandom: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_fill_the_whole_buffer() {
        let mut bytes = [0; 4096];
        SystemEntropy.fill(&mut bytes);
        // 32 zero bytes in a row occur by chance once in 10^74 runs.
        assert!(bytes.chunks(32).all(|chunk| chunk.iter().any(|&byte| byte != 0)));
        SystemEntropy.fill(&mut []);
    }
}
