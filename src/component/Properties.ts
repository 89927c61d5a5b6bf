/**
 * The properties of the two components, as tables: accessors, `get` and `set` methods and the list of properties are made of
 * them.
 *
 * @since 0.1.0
 */
import { Certificate } from "./Certificate.ts"
import { CertStoreTypes, WSServerSSLProviders } from "./Enums.ts"
import { Firewall } from "./Firewall.ts"
import { field } from "./internal/fields.ts"
import { boolean, instanceOf, integer, oneOf, text } from "./internal/kinds.ts"

const works = (note: string) => ({ documents: "both", status: "works", note }) as const
const tls = <D extends "both" | "server" | "proxy">(documents: D, note: string) =>
  ({ documents, status: "works", note }) as const

/**
 * What both have.
 *
 * @category tables
 * @since 0.1.0
 */
export const commonProperties = {
  connectionBacklog: field(
    "ConnectionBacklog",
    integer(1, 2 ** 31 - 1),
    "write",
    "The length of the system's queue of connections that are not accepted yet. Read when listening starts. Default: 5.",
    works("`NodeUpgradeListener.Options.backlog`")
  ),
  defaultTimeout: field(
    "DefaultTimeout",
    integer(0, 86400),
    "write",
    "The Timeout of connections to come, in seconds. 0: sending does not wait. Default: 0.",
    works("on the proxy, the time to reach the forward host (0: 10 seconds)")
  ),
  localHost: field(
    "LocalHost",
    text,
    "write",
    "The address to listen on; empty for all. Not while it listens (107). Shows the bound address while it listens.",
    works("`NodeUpgradeListener.Options.host`")
  ),
  localPort: field(
    "LocalPort",
    integer(0, 65535),
    "write",
    "The port to listen on; 0 has the system choose. Not while it listens (106). Shows the bound port while it listens.",
    works("`NodeUpgradeListener.Options.port`")
  ),
  sslAuthenticateClients: field(
    "SSLAuthenticateClients",
    boolean,
    "write",
    "Whether clients are asked for a certificate. Read when listening starts.",
    tls("both", "`NodeTls.Options.clientCertificates`")
  ),
  useSSL: field(
    "UseSSL",
    boolean,
    "write",
    "Whether TLS is spoken with all clients. Read when listening starts.",
    tls("both", "`NodeUpgradeListener.Options.tls`")
  )
} as const

/**
 * What the server has besides.
 *
 * @category tables
 * @since 0.1.0
 */
export const serverProperties = {
  ...commonProperties,
  listening: field(
    "Listening",
    boolean,
    "read",
    "Whether it listens.",
    works("`startListening` and `stopListening` change it")
  ),
  sslCert: field(
    "SSLCert",
    instanceOf(Certificate, "a Certificate"),
    "write",
    "The certificate of the server. Read when listening starts.",
    tls("server", "`NodeTls.Options.identities`")
  ),
  sslProvider: field(
    "SSLProvider",
    oneOf(Object.values(WSServerSSLProviders), "0 (automatic), 1 (platform) or 2 (internal)"),
    "write",
    "The TLS implementation. Read when listening starts.",
    tls(
      "server",
      "there is one implementation, which counts as internal; with Platform, SSLConnectionRequest does not fire and LogSSLPackets does nothing"
    )
  )
} as const

/**
 * What the proxy has besides. `Listening` can be set there, which `WebSocketProxy` has by hand.
 *
 * @category tables
 * @since 0.1.0
 */
export const proxyProperties = {
  ...commonProperties,
  defaultForwardHost: field(
    "DefaultForwardHost",
    text,
    "write",
    "The host that connections are forwarded to, unless WebSocketOpenRequest names another.",
    { documents: "proxy", status: "works", note: "`proxy/Target`" }
  ),
  defaultForwardPort: field("DefaultForwardPort", integer(0, 65535), "write", "Its port, likewise. 0 is none (116).", {
    documents: "proxy",
    status: "works",
    note: "`proxy/Target`"
  }),
  sslCertEncoded: field(
    "SSLCertEncoded",
    text,
    "write",
    "The certificate, in PEM. Set it to have its private key looked for in the store. Read when listening starts.",
    tls("proxy", "`tls/CertificateStore`")
  ),
  sslCertStore: field(
    "SSLCertStore",
    text,
    "write",
    "The store of the certificate. Read when listening starts.",
    tls("proxy", "`tls/CertificateStore`")
  ),
  sslCertStorePassword: field(
    "SSLCertStorePassword",
    text,
    "write",
    "Its password. Read when listening starts.",
    tls("proxy", "`tls/CertificateStore`")
  ),
  sslCertStoreType: field(
    "SSLCertStoreType",
    oneOf(Object.values(CertStoreTypes), "a value of CertStoreTypes"),
    "write",
    "What kind of store it is. Read when listening starts.",
    tls("proxy", "`tls/CertificateStore`")
  ),
  sslCertSubject: field(
    "SSLCertSubject",
    text,
    "write",
    "The subject of the certificate. Set it to select one of the store; empty if there is none. Read when listening starts.",
    tls("proxy", "`tls/CertificateStore`")
  ),
  firewall: field(
    "Firewall",
    instanceOf(Firewall, "a Firewall"),
    "write",
    "The firewall on the way to forward hosts.",
    {
      documents: "proxy",
      status: "works",
      note: "`proxy/Firewall`"
    }
  )
} as const
