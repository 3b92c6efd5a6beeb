//! The memory layout of IPsec-MB's structs, as far as it is used.
//!
//! 1.3 exports no functions for jobs: they are pointers inside its manager, so its layout *is* its interface.
//! These structs were checked field by field (offset, size, enum value) with a C program against
//! `intel-ipsec-mb.h` 1.3.0; the assertions below keep them so. Of 2.0, whose jobs are longer, only
//! [`Direction`], there a parameter, and the features and the error of [`Head`] are used; they were checked
//! against the headers of 2.0.0 and 2.0.2 in the same way.

use std::ffi::{c_int, c_void};
use std::mem::{offset_of, size_of};

use super::library::Interface;

/// `IMB_CIPHER_CHACHA20_POLY1305` of `IMB_CIPHER_MODE`.
pub(super) const CIPHER_CHACHA20_POLY1305: u32 = 19;
/// `IMB_AUTH_CHACHA20_POLY1305` of `IMB_HASH_ALG`.
pub(super) const AUTH_CHACHA20_POLY1305: u32 = 29;
/// `IMB_STATUS_COMPLETED` of `IMB_STATUS`: both cipher and authentication are done.
pub(super) const STATUS_COMPLETED: u32 = 3;
/// Returns the bits of `IMB_FEATURE_SELF_TEST` (this build tests its ciphers when a manager is set up) and of
/// `IMB_FEATURE_SELF_TEST_PASS`.
pub(super) fn self_test(interface: Interface) -> (u64, u64) {
    match interface {
        Interface::Jobs => (1 << 20, 1 << 21),
        Interface::Packets => (1 << 19, 1 << 20),
    }
}

/// `IMB_CIPHER_DIRECTION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Direction {
    Encrypt = 1,
    Decrypt = 2,
}

/// `IMB_CHAIN_ORDER`.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum ChainOrder {
    CipherThenHash = 1,
    HashThenCipher = 2,
}

/// `IMB_JOB`, with the union `u` as its ChaCha20-Poly1305 member.
#[repr(C)]
pub(super) struct Job {
    pub(super) enc_keys: *const c_void,
    pub(super) dec_keys: *const c_void,
    pub(super) key_len_in_bytes: u64,
    pub(super) src: *const u8,
    pub(super) dst: *mut u8,
    pub(super) cipher_start_src_offset_in_bytes: u64,
    pub(super) msg_len_to_cipher_in_bytes: u64,
    pub(super) hash_start_src_offset_in_bytes: u64,
    pub(super) msg_len_to_hash_in_bytes: u64,
    pub(super) iv: *const u8,
    pub(super) iv_len_in_bytes: u64,
    pub(super) auth_tag_output: *mut u8,
    pub(super) auth_tag_output_len_in_bytes: u64,
    pub(super) aad: *const u8,
    pub(super) aad_len_in_bytes: u64,
    pub(super) sgl_context: *mut c_void,
    pub(super) status: u32,
    pub(super) cipher_mode: u32,
    pub(super) cipher_direction: Direction,
    pub(super) hash_alg: u32,
    pub(super) chain_order: ChainOrder,
    pub(super) user_data: *mut c_void,
    pub(super) user_data2: *mut c_void,
    pub(super) cipher_func: *mut c_void,
    pub(super) hash_func: *mut c_void,
    pub(super) sgl_state: u32,
    pub(super) cipher_fields: *mut c_void,
}

/// A function of the manager that returns a job or null.
pub(super) type JobFunction = unsafe extern "C" fn(*mut Head) -> *mut Job;

/// The head of `IMB_MGR`, which the library allocates; never copied.
///
/// The functions are null until a manager is set up, and are called in 1.3 only.
#[repr(C)]
pub(super) struct Head {
    _flags: u64,
    pub(super) features: u64,
    _reserved: [u64; 5],
    _used_arch: u32,
    /// This manager's last error, 0 for none.
    pub(super) imb_errno: c_int,
    pub(super) get_next_job: Option<JobFunction>,
    _submit_job: Option<JobFunction>,
    pub(super) submit_job_nocheck: Option<JobFunction>,
    _get_completed_job: Option<JobFunction>,
    pub(super) flush_job: Option<JobFunction>,
}

const _: () = {
    assert!(size_of::<Job>() == 200);
    assert!(offset_of!(Job, src) == 24);
    assert!(offset_of!(Job, msg_len_to_cipher_in_bytes) == 48);
    assert!(offset_of!(Job, msg_len_to_hash_in_bytes) == 64);
    assert!(offset_of!(Job, iv) == 72);
    assert!(offset_of!(Job, auth_tag_output) == 88);
    assert!(offset_of!(Job, aad) == 104);
    assert!(offset_of!(Job, sgl_context) == 120);
    assert!(offset_of!(Job, status) == 128);
    assert!(offset_of!(Job, cipher_mode) == 132);
    assert!(offset_of!(Job, cipher_direction) == 136);
    assert!(offset_of!(Job, hash_alg) == 140);
    assert!(offset_of!(Job, chain_order) == 144);
    assert!(offset_of!(Job, user_data) == 152);
    assert!(offset_of!(Job, cipher_func) == 168);
    assert!(offset_of!(Job, sgl_state) == 184);
    assert!(offset_of!(Job, cipher_fields) == 192);
    assert!(offset_of!(Head, features) == 8);
    assert!(offset_of!(Head, imb_errno) == 60);
    assert!(offset_of!(Head, get_next_job) == 64);
    assert!(offset_of!(Head, submit_job_nocheck) == 80);
    assert!(offset_of!(Head, flush_job) == 96);
};
