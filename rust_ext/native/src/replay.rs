//! `_native.replay`: one call that replays a capture and returns the result.

use std::{
    fs::OpenOptions,
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
    plan::Plan,
    run::Run,
};
use pyo3::{exceptions::PyKeyboardInterrupt, prelude::*, types::PyDict};

use crate::{
    convert::value_error,
    replay_case::{Case, Chains, unexpected},
    replay_result::{Replayed, to_dict},
    timed::Timed,
};

/// Packets between two readings of the clock, and the interval of progress reports.
const CHECK_EVERY: u64 = 4096;
const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// Replays a capture.
#[pyfunction]
#[pyo3(signature = (
    case, *, stages = None, keylog = None, write = None, secrets = false, progress = None
))]
pub(crate) fn replay<'py>(
    py: Python<'py>,
    case: Case,
    stages: Option<Chains<'py>>,
    keylog: Option<&str>,
    write: Option<PathBuf>,
    secrets: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let keys = match case.kind.as_str() {
        "inner" => None,
        "outer" => {
            let keys = OuterKeys::from_keylog(keylog.unwrap_or_default());
            Some(keys.map_err(|error| value_error(error.to_string()))?)
        }
        other => return Err(unexpected("kind", other, "inner or outer")),
    };
    let plan = case.plan(&stages.unwrap_or_default())?;
    let names: Vec<String> = plan.nodes.iter().map(|node| node.name.clone()).collect();
    let task = Task { plan, capture: case.capture, keys, write, secrets, progress };
    let replayed = py.detach(move || task.run())?;
    to_dict(py, &replayed, &names)
}

struct Task {
    plan: Plan,
    capture: String,
    /// Present for an outer capture.
    keys: Option<OuterKeys>,
    write: Option<PathBuf>,
    secrets: bool,
    progress: Option<Py<PyAny>>,
}

impl Task {
    fn run(self) -> PyResult<Replayed> {
        let cipher_ns = Arc::new(AtomicU64::new(0));
        // The first call reports an error; later calls open the same cipher.
        let mut first = Some(open_cipher()?);
        let mut decryptor = self
            .keys
            .map(|keys| Ok::<_, PyErr>(Decryptor::new(keys, open_cipher()?)))
            .transpose()?;
        let record = self.write.as_deref().map(|path| create(path, self.secrets)).transpose()?;
        let spent_ns = Arc::clone(&cipher_ns);
        let cipher = move || -> Box<dyn pyfw_core::aead::Aead> {
            let aead = first.take().or_else(|| open_cipher().ok());
            let aead = aead.unwrap_or_else(|| Box::<pyfw_aead::Ring>::default());
            Box::new(Timed::new(aead, Arc::clone(&spent_ns)))
        };
        let mut run = Run::new(self.plan, cipher, record)?;
        let start = Instant::now();
        let before_ns = cipher_ns.load(Relaxed);
        let mut progress = Progress { callback: self.progress, packets: 0, last_report: start };
        let (skipped, error) = match Capture::open(Path::new(&self.capture)) {
            Err(error) => (0, Some(error)),
            Ok(mut capture) => {
                let error = feed(&mut capture, &mut run, decryptor.as_mut(), &mut progress)?;
                (capture.skipped(), error)
            }
        };
        let result = run.finish()?;
        Ok(Replayed {
            result,
            skipped,
            error,
            outer: decryptor.map(|decryptor| *decryptor.counts()),
            wall_ns: start.elapsed().as_nanos() as u64,
            cipher_ns: cipher_ns.load(Relaxed) - before_ns,
        })
    }
}

fn open_cipher() -> PyResult<Box<dyn pyfw_core::aead::Aead>> {
    pyfw_aead::open("auto").map_err(|error| value_error(error.to_string()))
}

/// Passes every packet of the capture to the run; returns the error that ended the capture early.
fn feed(
    capture: &mut Capture,
    run: &mut Run,
    mut decryptor: Option<&mut Decryptor>,
    progress: &mut Progress,
) -> PyResult<Option<CaptureError>> {
    // A file written by a replay holds both sides of the cipher; only one is replayed.
    let other_side = if decryptor.is_some() { INNER } else { OUTER };
    let mut secrets_added = 0;
    loop {
        if progress.is_due() {
            progress.report(capture.position(), capture.length())?;
        }
        let packet = match capture.next() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(error)),
        };
        if packet.interface_name == Some(other_side) {
            continue;
        }
        let Some(decryptor) = &mut decryptor else {
            run.packet(packet.time_ns, packet.bytes);
            continue;
        };
        for text in &packet.secrets[secrets_added..] {
            decryptor.add_secrets(text);
        }
        secrets_added = packet.secrets.len();
        if let Ok(datagram) = datagram(packet.bytes) {
            if let Opened::Packet { plaintext, .. } = decryptor.open(datagram.payload) {
                run.packet(packet.time_ns, plaintext);
            }
        }
    }
}

/// Calls the progress callback a few times per second.
struct Progress {
    callback: Option<Py<PyAny>>,
    packets: u64,
    last_report: Instant,
}

impl Progress {
    fn is_due(&mut self) -> bool {
        self.packets += 1;
        self.callback.is_some()
            && self.packets % CHECK_EVERY == 0
            && self.last_report.elapsed() >= REPORT_INTERVAL
    }

    fn report(&mut self, position: u64, length: Option<u64>) -> PyResult<()> {
        self.last_report = Instant::now();
        let Some(callback) = &self.callback else { return Ok(()) };
        Python::attach(|py| {
            let answer = callback.call1(py, (position, length, self.packets))?;
            match answer.is_none(py) || answer.is_truthy(py)? {
                true => Ok(()),
                false => Err(PyKeyboardInterrupt::new_err("interrupted by progress")),
            }
        })
    }
}

/// Opens the record for writing; only its owner may read one that holds secrets.
fn create(path: &Path, secrets: bool) -> PyResult<(Box<dyn Write + Send>, bool)> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if secrets {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let file = options.open(path)?;
    Ok((Box::new(BufWriter::with_capacity(1 << 20, file)), secrets))
}
