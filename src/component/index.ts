/**
 * The documented components: `WSServer` and `WebSocketProxy`, with the properties, methods, events, settings and error codes of
 * the originals. See `docs/components.md`.
 *
 * @since 0.1.0
 */
export { Certificate } from "./Certificate.ts"
export { type Callback, ComponentError } from "./ComponentError.ts"
export { ConnectionMap, ConnectionMap as WSConnectionMap } from "./ConnectionMap.ts"
export {
  CertStoreTypes,
  CertStoreTypes as CertMgrCertStoreTypes,
  DataFormats,
  FirewallTypes,
  LogLevels,
  WSServerSSLProviders
} from "./Enums.ts"
export * as ErrorCode from "./ErrorCode.ts"
export type * from "./Events.ts"
export { Firewall } from "./Firewall.ts"
export { WebSocketProxy, WebSocketProxy as websocketproxy } from "./WebSocketProxy.ts"
export { WebSocketProxyConnection } from "./WebSocketProxyConnection.ts"
export { WSConnection } from "./WSConnection.ts"
export { WSServer, WSServer as wsserver } from "./WSServer.ts"
