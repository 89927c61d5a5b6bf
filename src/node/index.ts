/**
 * What of effect-websocket runs on Node.
 *
 * @since 0.1.0
 */
export * as NodeAccessLog from "./NodeAccessLog.ts"
export * as NodeBearerTokens from "./NodeBearerTokens.ts"
export * as NodeClientNames from "./NodeClientNames.ts"
export * as NodeDialer from "./NodeDialer.ts"
export * as NodeFileError from "./NodeFileError.ts"
export * as NodeHttp2 from "./NodeHttp2.ts"
export * as NodeHttpAccess from "./NodeHttpAccess.ts"
export * as NodeHtpasswd from "./NodeHtpasswd.ts"
export * as NodeProxyProtocol from "./NodeProxyProtocol.ts"
export * as NodeJwtKeys from "./NodeJwtKeys.ts"
export * as NodeRecorder from "./NodeRecorder.ts"
export * as NodeRedisTokenSource from "./NodeRedisTokenSource.ts"
export * as NodeRevocation from "./NodeRevocation.ts"
export * as NodeSocket from "./NodeSocket.ts"
export * as NodeStaticFiles from "./NodeStaticFiles.ts"
export * as NodeTcpListener from "./NodeTcpListener.ts"
export * as NodeTls from "./NodeTls.ts"
export * as NodeTokenSource from "./NodeTokenSource.ts"
export * as NodeUpgradeDialer from "./NodeUpgradeDialer.ts"
export * as NodeUpgradeListener from "./NodeUpgradeListener.ts"
export * as NodeWebSocketClient from "./NodeWebSocketClient.ts"
export * as NodeWebSocketServer from "./NodeWebSocketServer.ts"
export * as NodeZlib from "./NodeZlib.ts"
