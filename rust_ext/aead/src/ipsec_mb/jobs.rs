//! The interface of IPsec-MB 1.3: a job per packet. The queue is empty between calls.

use std::ffi::c_void;
use std::ptr::null_mut;

use pyfw_core::aead::TAG_LENGTH;

use super::layout::{
    AUTH_CHACHA20_POLY1305, CIPHER_CHACHA20_POLY1305, ChainOrder, Direction, Job, JobFunction,
    STATUS_COMPLETED,
};
use super::manager::Manager;
use super::{Chunk, NONCE_LENGTH, Packet};

/// The job queue of a manager.
#[derive(Debug)]
pub(super) struct JobQueue {
    get_next_job: JobFunction,
    submit_job: JobFunction,
    flush_job: JobFunction,
    manager: Manager,
}

impl JobQueue {
    /// Expects a manager of a version with this interface.
    pub(super) fn new(manager: Manager) -> Result<Self, String> {
        let head = manager.head();
        let (Some(get_next_job), Some(submit_job), Some(flush_job)) =
            (head.get_next_job, head.submit_job_nocheck, head.flush_job)
        else {
            return Err("init_mb_mgr_auto left the manager without functions".into());
        };
        Ok(Self { get_next_job, submit_job, flush_job, manager })
    }

    /// Seals or opens the packets, and returns how many the library completed: all, unless something is
    /// wrong.
    ///
    /// # Safety
    /// All pointers of the packets are valid for their lengths and not used elsewhere during the call, and
    /// there are fewer than 256 packets: the capacity of the library's queue.
    pub(super) unsafe fn run(&mut self, chunk: Chunk<'_>) -> usize {
        let mut completed = 0;
        let mut count = |job: &Job| completed += usize::from(job.status == STATUS_COMPLETED);
        for packet in chunk.packets {
            let job = job(chunk, packet);
            // SAFETY: as the caller's; the key is borrowed for the call, and the flush below completes all
            // jobs.
            if let Some(job) = unsafe { self.submit(job) } {
                count(job);
            }
        }
        while let Some(job) = self.flush() {
            count(job);
        }
        completed
    }

    /// Queues a job, and returns the oldest one if it is done; in 1.3 that is always this one.
    ///
    /// Jobs are submitted one by one: bursts measured the same, within 10 ns per job at 0 to 1420 B.
    ///
    /// # Safety
    /// All pointers of `job` are valid for its lengths and not used elsewhere until the job is returned from
    /// here or from [`flush`](Self::flush), and fewer than 256 jobs are queued.
    unsafe fn submit(&mut self, job: Job) -> Option<&Job> {
        let manager = self.manager.as_ptr();
        // SAFETY: the manager is set up. While its queue has a free place, it returns a job of its own to
        // fill, which is submitted before the next one is requested; the caller guarantees the rest.
        // `nocheck`: the arguments are constants and checked ranges, and checking them again costs 20 ns per
        // job.
        unsafe {
            (self.get_next_job)(manager).write(job);
            (self.submit_job)(manager).as_ref()
        }
    }

    /// Completes and returns the oldest job, or `None` if the queue is empty.
    pub(super) fn flush(&mut self) -> Option<&Job> {
        // SAFETY: the manager is set up, and the pointers of queued jobs are valid (see `submit`).
        unsafe { (self.flush_job)(self.manager.as_ptr()).as_ref() }
    }
}

/// Returns the job that seals or opens a packet in place.
fn job(chunk: Chunk<'_>, packet: &Packet) -> Job {
    let Chunk { direction, key, associated, .. } = chunk;
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
