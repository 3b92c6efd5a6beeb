//! Where a capture's bytes come from: a file or standard input, through gzip where they are gzip.
//!
//! In: a path. Out: a reader of plain bytes, and how far the file itself was read.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;

/// RFC 1952 §2.3.1.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Plain bytes.
pub(super) type Reader = Box<dyn Read + Send>;

/// The file that is read.
pub(super) struct Source {
    position: Arc<AtomicU64>,
    length: Option<u64>,
}

impl Source {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Reader)> {
        if path == Path::new("-") {
            return Self::of(Box::new(io::stdin()), None);
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        // A pipe says 0, and a file that is still written to says what it has now.
        let length = metadata.is_file().then_some(metadata.len());
        Self::of(Box::new(file), length)
    }

    /// Reads from `raw`, through gzip if it begins like it.
    pub(super) fn of(raw: Reader, length: Option<u64>) -> io::Result<(Self, Reader)> {
        let position = Arc::<AtomicU64>::default();
        let mut raw = Counted { raw, position: Arc::clone(&position) };
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        raw.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head)?;
        let is_gzip = head == GZIP_MAGIC;
        let whole = Cursor::new(head).chain(raw);
        let reader: Reader =
            if is_gzip { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
        Ok((Self { position, length }, reader))
    }

    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }
}

struct Counted {
    raw: Reader,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(buffer)?;
        self.position.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
