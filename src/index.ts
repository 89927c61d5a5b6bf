/**
 * A WebSocket server and WebSocket-to-TCP proxy for Effect; connections speak either role. What needs Node is in `effect-websocket/node`.
 *
 * @since 0.1.0
 */
export * as CloseCode from "./protocol/CloseCode.ts"
export * as ConnectionState from "./protocol/ConnectionState.ts"
export * as Extension from "./protocol/Extension.ts"
export * as Frame from "./protocol/Frame.ts"
export * as FrameDecoder from "./protocol/FrameDecoder.ts"
export * as FrameEncoder from "./protocol/FrameEncoder.ts"
export * as Masking from "./protocol/Masking.ts"
export * as Message from "./protocol/Message.ts"
export * as MessageEvent from "./protocol/MessageEvent.ts"
export * as Opcode from "./protocol/Opcode.ts"
export * as OpeningHandshake from "./protocol/OpeningHandshake.ts"
export * as PerMessageDeflate from "./protocol/PerMessageDeflate.ts"
export * as ProtocolError from "./protocol/ProtocolError.ts"
export * as ProxyProtocol from "./protocol/ProxyProtocol.ts"

export * as Deflate from "./connection/Deflate.ts"
export * as KeepAlive from "./connection/KeepAlive.ts"
export * as Limits from "./connection/Limits.ts"
export * as Telemetry from "./connection/Telemetry.ts"
export * as Transport from "./connection/Transport.ts"
export * as WebSocket from "./connection/WebSocket.ts"
export * as WebSocketError from "./connection/WebSocketError.ts"

export * as AccessList from "./server/AccessList.ts"
export * as Admission from "./server/Admission.ts"
export * as ClientNames from "./server/ClientNames.ts"
export * as ForwardedFor from "./server/ForwardedFor.ts"
export * as OpenRequest from "./server/OpenRequest.ts"
export * as UpgradeListener from "./server/UpgradeListener.ts"
export * as WebSocketServer from "./server/WebSocketServer.ts"

export * as Dialer from "./proxy/Dialer.ts"
export * as Firewall from "./proxy/Firewall.ts"
export * as Router from "./proxy/Router.ts"
export * as Target from "./proxy/Target.ts"
export * as TargetPolicy from "./proxy/TargetPolicy.ts"
export * as TokenSource from "./proxy/TokenSource.ts"
export * as WebSocketProxy from "./proxy/WebSocketProxy.ts"
