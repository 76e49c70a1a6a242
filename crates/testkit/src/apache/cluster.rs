//! One broker or more, as a whole.

use std::fs;
use std::path::PathBuf;

use super::Trouble;
use super::certificate::{self, Certificate};
use super::library::Library;
use super::node::Node;
use super::place::{Place, free_ports};
use super::properties::{self, Ports};
use super::tools::Tools;
use super::trouble::failed;

/// What kind of cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many nodes, each broker and controller. Default 1; three go on without one of them.
    pub nodes: usize,
    /// Whether the nodes are brokers only, with a controller beside them that stays when they go. Default false.
    ///
    /// For whoever lets the only broker of transactions die. One that is its own controller comes back believing that it
    /// leads, learns that it does not yet, and then leaves out the markers of a transaction that was about to be committed
    /// ("these partitions are likely deleted already", 4.4): it hangs, and readers of what is committed with it. With the
    /// controller apart, [`Cluster::start_node`] waits until that one has noticed.
    pub controller_apart: bool,
    /// The port of the only node's listener without protection. Default: any free one.
    pub port: Option<u16>,
    /// Who may use the listener with SASL (PLAIN and SCRAM-SHA-512) over TLS. Default: nobody, and no such listener.
    /// With users there are ACLs, and users may do nothing until [`Cluster::allow`] lets them; whoever uses the listener
    /// without protection may do everything.
    pub users: Vec<User>,
    /// Further properties of the brokers (`server.properties`); they win over the others. Default none.
    pub properties: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nodes: 1,
            controller_apart: false,
            port: None,
            users: vec![],
            properties: vec![],
        }
    }
}

/// Who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Letters, digits and dashes.
    pub name: String,
    /// Anything but quotes, commas, brackets and tabs.
    pub password: String,
}

impl User {
    /// A user.
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            password: password.into(),
        }
    }
}

/// A running cluster. Nodes are counted from 0; a node that starts again has its ports and data.
pub struct Cluster {
    // In the order in which they go.
    nodes: Vec<Option<Node>>,
    controller: Option<Controller>,
    pub(super) tools: Tools,
    library: Library,
    ports: Vec<Ports>,
    secure: bool,
    place: Place,
}

/// A controller that is no broker.
struct Controller {
    node: Node,
    /// How far its log had come when a broker was last ended.
    log_bytes: usize,
}

/// Any will do: a cluster meets no other.
const CLUSTER_ID: &str = "c3R0LXdvcmtlci1rYWZrYQ";

impl Cluster {
    /// Starts a cluster and waits until it is ready: seconds, and half a minute more at the first time, when Kafka is
    /// fetched.
    ///
    /// # Errors
    /// Java or Maven is missing, Kafka cannot be fetched, or a broker does not start; with what they said.
    pub fn start(config: &Config) -> Result<Self, Trouble> {
        let library = Library::ready(|untrained| {
            let mut cluster = Self::start_on(untrained, &Config::default())?;
            cluster.create_topic("training", 1, &[])?;
            cluster.stop(0)
        })?;
        Self::start_on(&library, config)
    }

    fn start_on(library: &Library, config: &Config) -> Result<Self, Trouble> {
        let place = Place::make()?;
        let path = |name: &str| place.path().join(name);
        let mut tools = Tools::start(library, &path("tools.log"))?;
        let ports = ports(config)?;
        let certificate = (!config.users.is_empty())
            .then(|| Certificate::make(place.path()))
            .transpose()?;
        for index in 0..ports.len() {
            let properties = path(&format!("{index}.properties"));
            let text = properties::of(
                config,
                index,
                &ports,
                &path(&format!("{index}.data")),
                certificate.as_ref(),
            );
            fs::write(&properties, text).map_err(failed(format_args!("cannot write {}", properties.display())))?;
            let properties = properties.to_string_lossy();
            let mut format = vec!["format", "--cluster-id", CLUSTER_ID, "--config", &properties];
            let scram: Vec<String> = config.users.iter().map(scram).collect();
            scram.iter().for_each(|user| format.extend(["--add-scram", user]));
            tools.run("kafka.tools.StorageTool", &format)?;
        }
        let mut cluster = Self {
            nodes: (0..config.nodes).map(|_| None).collect(),
            controller: None,
            tools,
            library: library.clone(),
            ports,
            secure: certificate.is_some(),
            place,
        };
        if config.controller_apart {
            let node = cluster.launch(config.nodes)?;
            cluster.controller = Some(Controller { node, log_bytes: 0 });
        }
        for index in 0..config.nodes {
            cluster.nodes[index] = Some(cluster.launch(index)?);
        }
        // Only together can they be ready.
        cluster.nodes.iter().flatten().try_for_each(Node::wait_until_ready)?;
        Ok(cluster)
    }

    /// Where clients find it without protection: `127.0.0.1:port`, one for each node.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.servers(|ports| ports.plain)
    }

    /// Where its users find it; nobody, when it has none.
    #[must_use]
    pub fn secure_servers(&self) -> Option<String> {
        self.secure.then(|| self.servers(|ports| ports.secure))
    }

    /// The certificate that users should trust (PEM, `ssl.ca.location`), there while the cluster is.
    #[must_use]
    pub fn ca_location(&self) -> PathBuf {
        self.place.path().join(certificate::PEM)
    }

    /// A node's log.
    #[must_use]
    pub fn log(&self, node: usize) -> PathBuf {
        self.place.path().join(format!("{node}.log"))
    }

    /// SIGKILL: the node is gone before this returns, and said nothing to anybody.
    ///
    /// # Errors
    /// It is not running.
    pub fn kill(&mut self, node: usize) -> Result<(), Trouble> {
        self.take(node).map(drop)
    }

    /// SIGTERM, and its orderly end.
    ///
    /// # Errors
    /// It is not running, or does not end.
    pub fn stop(&mut self, node: usize) -> Result<(), Trouble> {
        self.take(node)?.stop()
    }

    /// SIGSTOP: it holds its connections, and is silent.
    ///
    /// # Errors
    /// It is not running.
    pub fn pause(&mut self, node: usize) -> Result<(), Trouble> {
        self.running(node)?.signal("STOP")
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// It is not running.
    pub fn resume(&mut self, node: usize) -> Result<(), Trouble> {
        self.running(node)?.signal("CONT")
    }

    /// Starts a node again that was killed or stopped, and waits until it is ready.
    ///
    /// # Errors
    /// It is running, or does not start.
    pub fn start_node(&mut self, node: usize) -> Result<(), Trouble> {
        if self.nodes[node].is_some() {
            return Err(Trouble::new(format!("node {node} is running")));
        }
        if let Some(controller) = &self.controller {
            let fenced = [format!("brokerId={},", node + 1), "fenced=1,".to_owned()];
            controller.node.wait_until_said(&fenced, controller.log_bytes)?;
        }
        let started = self.launch(node)?;
        started.wait_until_ready()?;
        self.nodes[node] = Some(started);
        Ok(())
    }

    fn launch(&self, node: usize) -> Result<Node, Trouble> {
        let properties = self.place.path().join(format!("{node}.properties"));
        Node::start(&self.library, &properties, self.log(node))
    }

    fn running(&mut self, node: usize) -> Result<&mut Node, Trouble> {
        self.nodes[node]
            .as_mut()
            .ok_or_else(|| Trouble::new(format!("node {node} is not running")))
    }

    fn take(&mut self, node: usize) -> Result<Node, Trouble> {
        self.running(node)?;
        if let Some(controller) = &mut self.controller {
            controller.log_bytes = controller.node.said().len();
        }
        Ok(self.nodes[node].take().expect("it is running"))
    }

    fn servers(&self, port: impl Fn(&Ports) -> u16) -> String {
        let servers = self
            .ports
            .iter()
            .take(self.nodes.len())
            .map(|ports| format!("127.0.0.1:{}", port(ports)));
        servers.collect::<Vec<_>>().join(",")
    }
}

fn ports(config: &Config) -> Result<Vec<Ports>, Trouble> {
    let free = free_ports(3 * (config.nodes + usize::from(config.controller_apart)))?;
    let mut ports: Vec<Ports> = free
        .chunks(3)
        .map(|ports| Ports {
            plain: ports[0],
            controller: ports[1],
            secure: ports[2],
        })
        .collect();
    if let (Some(port), [only]) = (config.port, &mut ports[..]) {
        std::net::TcpListener::bind(("127.0.0.1", port)).map_err(failed(format_args!("port {port} is not free")))?;
        only.plain = port;
    }
    Ok(ports)
}

fn scram(user: &User) -> String {
    format!("SCRAM-SHA-512=[name={},password={}]", user.name, user.password)
}
