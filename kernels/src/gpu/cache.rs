//! Translated shaders on the disk: a program on a GPU begins faster where an earlier
//! one has had the same shaders translated.
//!
//! A file for each kind of device and driver, in the user's folder for such files; it
//! begins with a checksum of the rest, for a driver may trust what it is given. It is
//! written beside its place and renamed, and what cannot be read or written is left.

use std::fs;
use std::path::PathBuf;

/// The folder, instead of the user's own; empty for none.
const FOLDER: &str = "SPECK_CACHE";

pub(super) struct Cache {
    pub cache: wgpu::PipelineCache,
    path: PathBuf,
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    crate::fnv(bytes).to_le_bytes()
}

fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if std::env::var_os(FOLDER).is_some() {
        return set(FOLDER).map(PathBuf::from);
    }
    let own = set("XDG_CACHE_HOME").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
    Some(own?.join("speck"))
}

/// What is behind the checksum, if it is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, data) = bytes.split_first_chunk::<8>()?;
    (*sum == checksum(data)).then_some(data)
}

impl Cache {
    /// What is there for this device; `None` where it has no such thing.
    pub fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let path = folder()?.join(wgpu::util::pipeline_cache_key(info)?);
        let found = fs::read(&path).ok();
        let data = found.as_deref().and_then(checked);
        let descriptor = wgpu::PipelineCacheDescriptor { label: None, data, fallback: true };
        // SAFETY: the data, whose checksum is right, came from `get_data` of a cache for
        // the same device and driver: its name says so.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(Cache { cache, path })
    }

    /// Writes what there is now. Nothing depends on whether that succeeds.
    pub fn save(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let Some(folder) = self.path.parent() else { return };
        let whole = [checksum(&data).as_slice(), &data].concat();
        let beside = self.path.with_extension(std::process::id().to_string());
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&beside, whole));
        if written.and_then(|()| fs::rename(&beside, &self.path)).is_err() {
            // Nothing was there before, or nothing can be done about it.
            let _ = fs::remove_file(&beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_not_trusted() {
        let data = b"translated";
        let whole = [checksum(data).as_slice(), data].concat();
        assert_eq!(checked(&whole), Some(data.as_slice()));
        for place in 0..whole.len() {
            let mut other = whole.clone();
            other[place] ^= 1;
            assert_eq!(checked(&other), None, "byte {place}");
        }
        assert_eq!(checked(&whole[..7]), None);
    }
}
