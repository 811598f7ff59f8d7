//! age: X25519 for one recipient, ChaCha20-Poly1305 in chunks of 64 KiB.

use std::{
    fs::{self, File},
    io::{BufReader, Read, Write},
    iter,
    path::Path,
    process::Command,
};

use age::{
    Decryptor, Encryptor,
    secrecy::ExposeSecret,
    x25519::{Identity, Recipient},
};
use sealwire_bench::{Failure, KIB, Request, busy_rate, files};

use super::whole;

pub fn measure(request: &Request) -> Result<f64, Failure> {
    match request.name.as_str() {
        "seal 64KiB mem" => Ok(seals(request, 64 * KIB)? * 65_536.0),
        "seal 64MiB mem" => Ok(seals(request, 64 * KIB * KIB)? * 67_108_864.0),
        "open 64MiB mem" => Ok(opens(request, 64 * KIB * KIB)? * 67_108_864.0),
        "many" => seals(request, KIB),
        "seal 4GiB file" => seal_file(request),
        "open 4GiB file" => open_file(request),
        _ => Err(request.unknown()),
    }
}

/// The command of the Debian package, with a key of its own making.
pub fn command(request: &Request) -> Result<f64, Failure> {
    let (folder, bytes) = (&request.folder, request.bytes);
    let key = Identity::generate();
    let (sealed, opened) = (folder.join("sealed"), folder.join("opened"));
    let mut command = Command::new("age");
    let rate = if request.name.starts_with("seal") {
        let plain = files::plain(folder, bytes)?;
        command.args(["-r", &key.to_public().to_string(), "-o"]).arg(&sealed).arg(plain);
        whole(request, &mut command)
    } else {
        seal_to(&key.to_public(), files::source(bytes), &sealed)?;
        let identity = folder.join("identity");
        fs::write(&identity, key.to_string().expose_secret())?;
        command.arg("-d").arg("-i").arg(identity).arg("-o").arg(&opened).arg(&sealed);
        whole(request, &mut command)
    };
    files::remove(&sealed)?;
    files::remove(&opened)?;
    rate
}

/// Objects a second, in memory that was used before.
fn seals(request: &Request, len: usize) -> Result<f64, Failure> {
    let recipient = Identity::generate().to_public();
    let content = vec![0xA5; len];
    let mut sealed = Vec::new();
    busy_rate(request.time, || {
        sealed.clear();
        seal(&recipient, &content, &mut sealed)
    })
}

fn opens(request: &Request, len: usize) -> Result<f64, Failure> {
    let key = Identity::generate();
    let mut sealed = Vec::new();
    seal(&key.to_public(), &vec![0xA5; len], &mut sealed)?;
    let mut opened = Vec::with_capacity(len);
    busy_rate(request.time, || {
        opened.clear();
        let decryptor = Decryptor::new_buffered(&sealed[..])?;
        let read = decryptor.decrypt(iter::once(&key as _))?.read_to_end(&mut opened)?;
        if read == len { Ok(read) } else { Err("it was cut".into()) }
    })
}

fn seal_file(request: &Request) -> Result<f64, Failure> {
    let recipient = Identity::generate().to_public();
    let plain = files::plain(&request.folder, request.bytes)?;
    let sealed = request.folder.join("sealed");
    let rate = files::throughput(request, || seal_to(&recipient, File::open(plain)?, &sealed));
    files::remove(&sealed)?;
    rate
}

fn open_file(request: &Request) -> Result<f64, Failure> {
    let key = Identity::generate();
    let (sealed, opened) = (request.folder.join("sealed"), request.folder.join("opened"));
    seal_to(&key.to_public(), files::source(request.bytes), &sealed)?;
    let rate = files::throughput(request, || {
        // Its chunks are longer than the buffer, which they pass by.
        let sealed = BufReader::new(File::open(&sealed)?);
        let reader = Decryptor::new_buffered(sealed)?.decrypt(iter::once(&key as _))?;
        files::copy(reader, File::create(&opened)?)
    });
    files::remove(&sealed)?;
    files::remove(&opened)?;
    rate
}

fn seal_to(recipient: &Recipient, reader: impl Read, path: &Path) -> Result<u64, Failure> {
    let encryptor = Encryptor::with_recipients(iter::once(recipient as _))?;
    let mut writer = encryptor.wrap_output(File::create(path)?)?;
    let copied = files::copy(reader, &mut writer)?;
    writer.finish()?;
    Ok(copied)
}

fn seal(recipient: &Recipient, content: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
    let encryptor = Encryptor::with_recipients(iter::once(recipient as _))?;
    let mut writer = encryptor.wrap_output(out)?;
    writer.write_all(content)?;
    writer.finish()?;
    Ok(())
}
