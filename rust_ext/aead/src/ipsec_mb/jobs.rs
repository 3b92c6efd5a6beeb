//! Packets as jobs, one by one: how IPsec-MB 1.3 is called.
//!
//! In: packets of one key. Out: the same, done, oldest first. The queue is empty between calls.

use std::ffi::c_void;
use std::ptr::null_mut;

use pyfw_core::aead::TAG_LENGTH;

use super::layout::{
    AUTH_CHACHA20_POLY1305, CIPHER_CHACHA20_POLY1305, ChainOrder, Direction, Job, JobFunction,
    STATUS_COMPLETED,
};
use super::manager::Manager;
use super::{NONCE_LENGTH, Packet, Round};

/// The queue of a manager.
#[derive(Debug)]
pub(super) struct JobQueue {
    get_next_job: JobFunction,
    submit_job: JobFunction,
    flush_job: JobFunction,
    manager: Manager,
}

impl JobQueue {
    /// The manager is of a version with this interface.
    pub(super) fn new(manager: Manager) -> Result<Self, String> {
        let head = manager.head();
        let (Some(get_next_job), Some(submit_job), Some(flush_job)) =
            (head.get_next_job, head.submit_job_nocheck, head.flush_job)
        else {
            return Err("init_mb_mgr_auto left the manager without functions".into());
        };
        Ok(Self { get_next_job, submit_job, flush_job, manager })
    }

    /// Seals or opens the packets; gives how many were completed, all if nothing is wrong.
    ///
    /// # Safety
    /// What the packets point to is valid for their lengths and touched by nobody else, and they are
    /// fewer than 256: so many the library's queue holds.
    pub(super) unsafe fn run(&mut self, round: Round<'_>) -> usize {
        let mut completed = 0;
        let mut note = |job: &Job| completed += usize::from(job.status == STATUS_COMPLETED);
        for packet in round.packets {
            let job = job(round, packet);
            // SAFETY: as the caller's; the key is borrowed for the call, and the flush below ends the
            // use of all.
            if let Some(job) = unsafe { self.submit(job) } {
                note(job);
            }
        }
        while let Some(job) = self.flush() {
            note(job);
        }
        completed
    }

    /// Queues a job; gives the oldest one if it is done, which in 1.3 is this very one.
    ///
    /// Job by job, because bursts measured alike: within 10 ns a job at 0 to 1420 B.
    ///
    /// # Safety
    /// All that `job` points to is valid for its lengths and untouched by others until the job
    /// came back from here or from [`flush`](Self::flush), and fewer than 256 jobs are queued.
    unsafe fn submit(&mut self, job: Job) -> Option<&Job> {
        let manager = self.manager.as_ptr();
        // SAFETY: the manager is set up. With a place free in its queue it gives a job of its own
        // to fill, which is submitted before the next is asked for; the caller vouches for the
        // rest. `nocheck`: the arguments are constants and checked ranges, and to check them again
        // costs 20 ns a job.
        unsafe {
            (self.get_next_job)(manager).write(job);
            (self.submit_job)(manager).as_ref()
        }
    }

    /// Completes and gives the oldest job that has not come back, or `None` if all have.
    pub(super) fn flush(&mut self) -> Option<&Job> {
        // SAFETY: the manager is set up; whoever queued a job vouched for what it points to.
        unsafe { (self.flush_job)(self.manager.as_ptr()).as_ref() }
    }
}

/// A packet's job, in place.
fn job(round: Round<'_>, packet: &Packet) -> Job {
    let Round { direction, key, associated, .. } = round;
    let key: *const c_void = key.as_ptr().cast();
    Job {
        enc_keys: key,
        dec_keys: key,
        key_len_in_bytes: 32,
        src: packet.text,
        dst: packet.text,
        cipher_start_src_offset_in_bytes: 0,
        msg_len_to_cipher_in_bytes: packet.length as u64,
        hash_start_src_offset_in_bytes: 0,
        msg_len_to_hash_in_bytes: packet.length as u64,
        iv: packet.nonce,
        iv_len_in_bytes: NONCE_LENGTH as u64,
        auth_tag_output: packet.tag,
        auth_tag_output_len_in_bytes: TAG_LENGTH as u64,
        aad: associated.as_ptr(),
        aad_len_in_bytes: associated.len() as u64,
        sgl_context: null_mut(),
        status: 0,
        cipher_mode: CIPHER_CHACHA20_POLY1305,
        cipher_direction: direction,
        hash_alg: AUTH_CHACHA20_POLY1305,
        chain_order: match direction {
            Direction::Encrypt => ChainOrder::CipherThenHash,
            Direction::Decrypt => ChainOrder::HashThenCipher,
        },
        user_data: null_mut(),
        user_data2: null_mut(),
        cipher_func: null_mut(),
        hash_func: null_mut(),
        sgl_state: 0,
        cipher_fields: null_mut(),
    }
}
