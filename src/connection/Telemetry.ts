/**
 * The metrics of connections, servers and proxies, by the names that an exporter shows. Registering them costs an
 * application nothing if it exports none. Bytes are added up in each connection and reported by the sweep of `KeepAlive` and
 * at the end, not for every chunk.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

/**
 * Open WebSocket connections.
 *
 * @category metrics
 * @since 0.1.0
 */
export const connections = Metric.gauge("websocket_connections", { description: "Open WebSocket connections" })

/**
 * Bytes that came over connections, frame headers included.
 *
 * @category metrics
 * @since 0.1.0
 */
export const receivedBytes = Metric.counter("websocket_received_bytes_total", {
  description: "Bytes received on WebSocket connections",
  incremental: true
})

/**
 * Bytes that went out over connections, frame headers included.
 *
 * @category metrics
 * @since 0.1.0
 */
export const sentBytes = Metric.counter("websocket_sent_bytes_total", {
  description: "Bytes sent on WebSocket connections",
  incremental: true
})

/**
 * Ended connections by close code.
 *
 * @category metrics
 * @since 0.1.0
 */
export const closes = Metric.frequency("websocket_closes_total", { description: "Ended connections by close code" })

/**
 * Limits that bit: by the name of the option, or of the fault of a frame or message (`ProtocolError.Kind`).
 *
 * @category metrics
 * @since 0.1.0
 */
export const limits = Metric.frequency("websocket_limits_total", { description: "Limits that bit, by name" })

/**
 * Refused opening handshakes by HTTP status.
 *
 * @category metrics
 * @since 0.1.0
 */
export const refusals = Metric.frequency("websocket_refusals_total", {
  description: "Refused opening handshakes by HTTP status"
})

/**
 * Clients that were not admitted, by the kind of reason (`Denial.Kind`).
 *
 * @category metrics
 * @since 0.1.0
 */
export const denials = Metric.frequency("websocket_denials_total", {
  description: "Clients that were not admitted, by the kind of reason"
})

/**
 * TLS handshakes by how they ended: `ok`, or what failed (`TlsHandshakeError.kind`).
 *
 * @category metrics
 * @since 0.1.0
 */
export const tlsHandshakes = Metric.frequency("websocket_tls_handshakes_total", {
  description: "TLS handshakes by how they ended"
})

/**
 * Headers of the PROXY protocol by what they said (`ProxyProtocol.Header`), or why they were refused.
 *
 * @category metrics
 * @since 0.1.0
 */
export const proxyHeaders = Metric.frequency("websocket_proxy_protocol_headers_total", {
  description: "Headers of the PROXY protocol by what they said, or why they were refused"
})

/**
 * Counts a limit that bit.
 *
 * @category metrics
 * @since 0.1.0
 */
export const limitHit = (name: string): Effect.Effect<void> => Metric.update(limits, name)
