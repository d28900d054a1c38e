use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_compare::Ranking;
use kiln_serve::{ServeOptions, Server};

use crate::commands::compare::RankAt;
use crate::failure::Advised;
use crate::named_run;
use crate::options::GlobalOptions;
use crate::output::{print, status};
use crate::signals::{self, SignalRequest};

/// The port that is tried first.
const PORT: u16 = 8420;

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The directory of a sweep, of one run, or of all runs [default: the directory of all runs]
    ///
    /// It need not exist yet.
    path: Option<PathBuf>,
    /// The port to listen on; the next free one if it is in use, and 0 for any
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    port: u16,
    /// Listen on this address instead of 127.0.0.1, so that other machines reach the page
    ///
    /// 0.0.0.0 is all addresses of this machine. The printed address then has a token, without which nothing is shown. The connection is
    /// not encrypted: where others can listen to the network, use a tunnel such as `ssh -L` instead.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    bind: Option<Bind>,
    /// Require a token on 127.0.0.1, too, because other people use this machine
    #[arg(long)]
    token: bool,
    /// The metric of the validation images that ranks, such as val_loss or val_macro_f1
    #[arg(long, value_name = "METRIC", default_value = kiln_compare::DEFAULT_METRIC)]
    rank_by: String,
    /// The epoch at which the metric is taken
    #[arg(long, value_enum, value_name = "EPOCH", default_value_t = RankAt::Kept)]
    rank_at: RankAt,
}

/// An address of this machine, and the name by which it was given.
#[derive(Debug, Clone)]
struct Bind {
    address: IpAddr,
    name: Option<String>,
}

pub(crate) fn serve(
    options: &GlobalOptions,
    arguments: &ServeArguments,
) -> anyhow::Result<ExitCode> {
    let path = match &arguments.path {
        Some(path) => named_run::path_of(options, path)?,
        None => options.runs.clone(),
    };
    if path.is_file() {
        let help = "give the directory of a sweep, of one run, or of all runs";
        return Err(Advised::new(format!("{} is a file", path.display()), help).into());
    }
    let bind = arguments.bind.clone();
    let bind = bind.unwrap_or(Bind { address: Ipv4Addr::LOCALHOST.into(), name: None });
    let server = Server::bind(&ServeOptions {
        address: bind.address,
        name: bind.name,
        port: arguments.port,
        token: arguments.token,
        ranking: Ranking::new(&arguments.rank_by, arguments.rank_at.into()),
        ..ServeOptions::new(&path)
    })?;
    let stopper = server.stopper();
    signals::listen(move |request| match request {
        SignalRequest::Stop { count: 1, .. } => stopper.stop(),
        SignalRequest::Stop { status, .. } => status.exit(),
        SignalRequest::Checkpoint => {}
    })?;
    if arguments.port != 0 && server.port() != arguments.port {
        status(format_args!("port {} is in use, so {} is used", arguments.port, server.port()));
    }
    if !options.quiet {
        if !path.exists() {
            status(format_args!(
                "{} does not exist yet; the page shows it when it does",
                path.display()
            ));
        }
        if let Some(limitation) = server.limitation() {
            status(format_args!("changes are looked for every ten seconds, because {limitation}"));
        }
        status(format_args!("showing {}; Ctrl-C stops", path.display()));
    }
    print(server.url())?;
    server.run()?;
    Ok(ExitCode::SUCCESS)
}

fn address(argument: &str) -> Result<Bind, String> {
    if let Ok(address) = argument.trim_matches(['[', ']']).parse() {
        return Ok(Bind { address, name: None });
    }
    let problem = "must be an address of this machine, such as 192.168.1.5, or its name";
    let found = (argument, 0).to_socket_addrs().map_err(|_| problem.to_owned())?;
    // Most browsers and networks use version 4 first.
    let address = found.map(|found| found.ip()).min_by_key(IpAddr::is_ipv6);
    let name = Some(argument.to_owned());
    address.map(|address| Bind { address, name }).ok_or_else(|| problem.to_owned())
}
