/**
 * What TLS is set up with: certificates and where they come from, who a server is, settings by their names, TLS toward targets, and
 * revocation. `effect-websocket/node` speaks it.
 *
 * @since 0.1.0
 */
export * as Alerts from "./Alerts.ts"
export * as Certificate from "./Certificate.ts"
export * as CertificateStore from "./CertificateStore.ts"
export * as CipherSuites from "./CipherSuites.ts"
export * as ClientHello from "./ClientHello.ts"
export * as Groups from "./Groups.ts"
export * as Identities from "./Identities.ts"
export * as Revocation from "./Revocation.ts"
export * as RevocationError from "./RevocationError.ts"
export * as SignatureSchemes from "./SignatureSchemes.ts"
export * as TlsClient from "./TlsClient.ts"
export * as TlsSession from "./TlsSession.ts"
export * as TlsSettings from "./TlsSettings.ts"
