//! A replay as Python sees it: one call, a plan in, results out.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use pyfw_replay::{
    INNER, OUTER,
    capture::{Capture, CaptureError},
    outer::{Decryptor, Opened, OuterKeys, datagram},
    run::Run,
};
use pyo3::{exceptions::PyKeyboardInterrupt, prelude::*, types::PyDict};

use crate::{
    convert::value_error,
    replay_plan::plan as read_plan,
    replay_result::{Told, result},
    timed::Timed,
};

/// Packets between two looks at the clock, and the time between two calls of `progress`.
const LOOK_EVERY: u64 = 4096;
const TELL_EVERY: Duration = Duration::from_millis(250);

/// Replays a capture.
#[pyfunction]
#[pyo3(signature = (plan, progress = None))]
pub(crate) fn replay<'py>(
    py: Python<'py>,
    plan: &Bound<'py, PyDict>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let text = |key: &str| -> PyResult<Option<String>> {
        plan.get_item(key)?.filter(|v| !v.is_none()).map(|v| v.extract()).transpose()
    };
    let capture = text("capture")?.ok_or_else(|| value_error("plan: no capture".into()))?;
    let cipher = text("cipher")?.unwrap_or_else(|| "auto".into());
    let keys = match text("kind")?.as_deref() {
        None | Some("inner") => None,
        Some("outer") => Some(
            OuterKeys::from_keylog(&text("keylog")?.unwrap_or_default())
                .map_err(|error| value_error(error.to_string()))?,
        ),
        Some(other) => return Err(value_error(format!("plan: kind {other:?}: inner or outer"))),
    };
    let secrets = plan.get_item("secrets")?.map_or(Ok(false), |v| v.extract())?;
    let write = text("write")?.map(PathBuf::from);
    let names: Vec<String> = read_plan(plan)?.ends.into_iter().map(|end| end.name).collect();
    let task = Task { plan: read_plan(plan)?, capture, cipher, keys, write, secrets, progress };
    let told = py.detach(move || task.run())?;
    result(py, &told, &names)
}

struct Task {
    plan: pyfw_replay::plan::Plan,
    capture: String,
    cipher: String,
    keys: Option<OuterKeys>,
    write: Option<PathBuf>,
    secrets: bool,
    progress: Option<Py<PyAny>>,
}

impl Task {
    fn run(self) -> PyResult<Told> {
        let spent_ns = Arc::new(AtomicU64::new(0));
        // Every choice that can fail has failed here, before a run asks for the next cipher.
        let cipher_error = |error: pyfw_aead::Error| value_error(error.to_string());
        let mut first = Some(pyfw_aead::open(&self.cipher).map_err(cipher_error)?);
        let mut opener = self
            .keys
            .map(|keys| {
                Ok::<_, PyErr>(Decryptor::new(
                    keys,
                    pyfw_aead::open(&self.cipher).map_err(cipher_error)?,
                ))
            })
            .transpose()?;
        let record = self.write.as_deref().map(|path| create(path, self.secrets)).transpose()?;
        let cipher_name = self.cipher.clone();
        let time = Arc::clone(&spent_ns);
        let mut run = Run::new(
            self.plan,
            move || {
                let aead = first.take().unwrap_or_else(|| {
                    pyfw_aead::open(&cipher_name)
                        .unwrap_or_else(|_| Box::<pyfw_aead::Ring>::default())
                });
                Box::new(Timed::new(aead, Arc::clone(&time)))
            },
            record,
        )?;
        let start = Instant::now();
        let before_ns = spent_ns.load(Relaxed);
        let mut progress = Progress { callback: self.progress, packets: 0, told: start };
        let (skipped, error) = match Capture::open(Path::new(&self.capture)) {
            Err(error) => (0, Some(error)),
            Ok(mut capture) => {
                let error = feed(&mut capture, &mut run, opener.as_mut(), &mut progress)?;
                (capture.skipped(), error)
            }
        };
        let outcome = run.finish()?;
        Ok(Told {
            outcome,
            skipped,
            error,
            outer: opener.map(|opener| *opener.counts()),
            wall_ns: start.elapsed().as_nanos() as u64,
            cipher_ns: spent_ns.load(Relaxed) - before_ns,
        })
    }
}

/// Gives the run every packet; returns what made the rest of the capture unreadable.
fn feed(
    capture: &mut Capture,
    run: &mut Run,
    mut opener: Option<&mut Decryptor>,
    progress: &mut Progress,
) -> PyResult<Option<CaptureError>> {
    let mut known_secrets = 0;
    loop {
        if progress.is_due() {
            progress.tell(capture.position(), capture.length())?;
        }
        let packet = match capture.next() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(error)),
        };
        // A record of ours holds both sides of the cipher.
        let other_side = if opener.is_some() { INNER } else { OUTER };
        if packet.interface_name == Some(other_side) {
            continue;
        }
        if let Some(opener) = &mut opener {
            for text in &packet.secrets[known_secrets..] {
                opener.add_secrets(text);
            }
            known_secrets = packet.secrets.len();
        }
        match &mut opener {
            None => run.packet(packet.time_ns, packet.bytes),
            Some(opener) => {
                // What is no datagram is no message of ours.
                let Ok(datagram) = datagram(packet.bytes) else { continue };
                if let Opened::Packet { plaintext, .. } = opener.datagram(datagram.payload) {
                    run.packet(packet.time_ns, plaintext);
                }
            }
        }
    }
}

/// Calls Python now and then.
struct Progress {
    callback: Option<Py<PyAny>>,
    packets: u64,
    told: Instant,
}

impl Progress {
    fn is_due(&mut self) -> bool {
        self.packets += 1;
        self.callback.is_some()
            && self.packets % LOOK_EVERY == 0
            && self.told.elapsed() >= TELL_EVERY
    }

    fn tell(&mut self, position: u64, length: Option<u64>) -> PyResult<()> {
        self.told = Instant::now();
        let Some(callback) = &self.callback else { return Ok(()) };
        Python::attach(|py| {
            let go_on = callback.call1(py, (position, length, self.packets))?;
            match go_on.is_none(py) || go_on.is_truthy(py)? {
                true => Ok(()),
                false => Err(PyKeyboardInterrupt::new_err("interrupted by progress")),
            }
        })
    }
}

/// A new file: nothing is overwritten half, and secrets are for the owner alone.
fn create(path: &Path, secrets: bool) -> PyResult<(Box<dyn Write + Send>, bool)> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if secrets {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let file: File = options.open(path)?;
    Ok((Box::new(BufWriter::with_capacity(1 << 20, file)), secrets))
}
