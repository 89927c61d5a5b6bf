import { describe, expect, test } from "tstyche"
import {
  type Callback,
  type ComponentError,
  type ConnectionMap,
  type DataFormats,
  ErrorCode,
  Firewall,
  type FirewallTypes,
  type WebSocketProxy,
  type WebSocketProxyConnection,
  websocketproxy,
  WSConnection,
  type WSServer,
  wsserver
} from "../../src/component/index.ts"
import type {
  ConnectionRequestEvent,
  DataInEvent,
  ForwardOpenRequestEvent,
  LogEvent,
  WebSocketOpenRequestEvent
} from "../../src/component/index.ts"

declare const server: WSServer
declare const proxy: WebSocketProxy
declare const connection: WSConnection

describe("properties", () => {
  test("have the types of the documents", () => {
    type Common =
      | "connectionBacklog"
      | "defaultTimeout"
      | "localHost"
      | "localPort"
      | "sslAuthenticateClients"
      | "useSSL"
    expect<Pick<WSServer, Common>>().type.toBe<{
      connectionBacklog: number
      defaultTimeout: number
      localHost: string
      localPort: number
      sslAuthenticateClients: boolean
      useSSL: boolean
    }>()
    expect<Pick<WebSocketProxy, Common>>().type.toBe<Pick<WSServer, Common>>()
    expect<Pick<WebSocketProxy, "defaultForwardHost" | "defaultForwardPort" | "firewall">>().type.toBe<{
      defaultForwardHost: string
      defaultForwardPort: number
      firewall: Firewall
    }>()
    expect<Pick<WSServer, "sslProvider">>().type.toBe<{ sslProvider: 0 | 1 | 2 }>()
  })

  test("that can only be read are readonly", () => {
    expect<Pick<WSServer, "listening" | "connections">>().type.toBe<{
      readonly listening: boolean
      readonly connections: ConnectionMap<WSConnection>
    }>()
    expect<Pick<WebSocketProxy, "connections">>().type.toBe<{
      readonly connections: ConnectionMap<WebSocketProxyConnection>
    }>()
    expect<Pick<WebSocketProxy, "listening">>().type.toBe<{ listening: boolean }>()
    expect(server).type.not.toHaveProperty("setListening")
  })

  test("have the pair of methods of the JavaScript edition", () => {
    expect(server.getLocalPort).type.toBe<() => number>()
    expect(server.setLocalPort).type.toBe<(value: number) => void>()
    expect(server.getListening).type.toBe<() => boolean>()
    expect(server.getUseSSL).type.toBe<() => boolean>()
    expect(server.getConnections).type.toBe<() => ConnectionMap<WSConnection>>()
    expect(proxy.setListening).type.toBe<(listening: boolean, ending?: AbortSignal | Callback) => Promise<void>>()
    expect(proxy.setFirewall).type.toBe<(value: Firewall) => void>()
    expect(proxy.setLocalPort).type.not.toBeCallableWith("8080")
  })

  test("of one component are not of the other", () => {
    expect(server).type.not.toHaveProperty("defaultForwardHost")
    expect(server).type.not.toHaveProperty("firewall")
    expect(proxy).type.not.toHaveProperty("sslProvider")
    expect(proxy).type.not.toHaveProperty("startListening")
    expect(proxy).type.not.toHaveProperty("sendText")
  })
})

describe("connections", () => {
  test("have fields to read, and two to set", () => {
    expect<Pick<WSConnection, "connectionId" | "remotePort" | "connected" | "requestURI">>().type.toBe<{
      readonly connectionId: string
      readonly remotePort: number
      readonly connected: boolean
      readonly requestURI: string
    }>()
    expect<Pick<WSConnection, "dataFormat" | "timeout">>().type.toBe<{ dataFormat: DataFormats; timeout: number }>()
    expect(connection.setDataFormat).type.not.toBeCallableWith(3)
    expect(connection).type.not.toHaveProperty("setRemoteHost")
    expect<Pick<WebSocketProxyConnection, "connected" | "remoteHost">>().type.toBe<{
      connected: boolean
      readonly remoteHost: string
    }>()
  })

  test("are found by their ids", () => {
    expect(server.connections.get("1")).type.toBe<WSConnection | undefined>()
    expect(server.connections.item("1")).type.toBe<WSConnection>()
    expect([...proxy.connections]).type.toBe<Array<[string, WebSocketProxyConnection]>>()
    expect(server.connections.get).type.not.toBeCallableWith(1)
  })

  test("and firewalls are constructed without arguments", () => {
    expect(WSConnection).type.toBeConstructableWith()
    expect(Firewall).type.toBeConstructableWith()
    expect<Pick<Firewall, "firewallType" | "port">>().type.toBe<{ firewallType: FirewallTypes; port: number }>()
  })
})

describe("events", () => {
  test("are known by their names", () => {
    expect(server.on).type.toBeCallableWith("ReadyToSend", (e: { readonly connectionId: string }) => e)
    expect(server.on).type.not.toBeCallableWith("NoSuchEvent", () => {})
    expect(server.on).type.not.toBeCallableWith("dataIn", () => {})
    expect(server.once).type.not.toBeCallableWith("NoSuchEvent", () => {})
    expect(server.off).type.not.toBeCallableWith("NoSuchEvent")
    expect(server.off).type.toBeCallableWith("DataIn")
    // the proxy sends nothing
    expect(proxy.on).type.not.toBeCallableWith("Ping", () => {})
    expect(proxy.on).type.not.toBeCallableWith("ReadyToSend", () => {})
    expect(server.on).type.not.toBeCallableWith("DataIn", (e: LogEvent) => e)
  })

  test("have their fields, and are chained", () => {
    server
      .on("DataIn", (e) => expect(e).type.toBe<DataInEvent>())
      .on("Log", (e) => expect(e.logType).type.toBe<"Info" | "Error" | "Verbose" | "Debug">())
      .on("WebSocketOpenRequest", async (e) => expect(e).type.toBe<WebSocketOpenRequestEvent>())
    proxy.on("WebSocketOpenRequest", (e) => expect(e).type.toBe<ForwardOpenRequestEvent>())
    expect(server.on("Log", () => {})).type.toBe<WSServer>()
  })

  test("have fields that a listener may set, and others that it may not", () => {
    expect<Pick<ConnectionRequestEvent, "accept" | "address">>().type.toBe<{
      accept: boolean
      readonly address: string
    }>()
    expect<Pick<ForwardOpenRequestEvent, "statusCode" | "forwardPort" | "subProtocols" | "requestURI">>().type.toBe<{
      statusCode: number
      forwardPort: number
      subProtocols: string
      readonly requestURI: string
    }>()
  })
})

describe("methods", () => {
  test("are promises, but for config", () => {
    expect(server.startListening()).type.toBe<Promise<void>>()
    expect(server.shutdown()).type.toBe<Promise<void>>()
    expect(server.config("LogLevel")).type.toBe<string>()
    expect(server).type.toBeAssignableTo<AsyncDisposable & Disposable>()
  })

  test("take a callback in place of a signal", () => {
    expect(server.doEvents).type.toBeCallableWith((error?: ComponentError) => error?.code)
    expect(server.sendText).type.toBeCallableWith("1", "text", () => {})
    expect(server.stopListening).type.not.toBeCallableWith(AbortSignal.abort())
  })

  test("take bytes, text, or both", () => {
    expect(server.sendBytes).type.toBeCallableWith("1", new Uint8Array(1))
    expect(server.sendBytes).type.toBeCallableWith("1", Buffer.from("x"), AbortSignal.abort())
    expect(server.sendBytes).type.not.toBeCallableWith("1", "text")
    expect(server.sendBytes).type.not.toBeCallableWith("1", new Uint8Array(1), "signal")
    expect(server.sendBytes).type.not.toBeCallableWith(1, new Uint8Array(1))
    expect(server.sendText).type.not.toBeCallableWith("1", new Uint8Array(1))
    expect(server.send).type.toBeCallableWith("1", "text")
    expect(server.send).type.toBeCallableWith("1", new Uint8Array(1))
    expect(server.send).type.not.toBeCallableWith("1", { data: "text" })
  })
})

test("names in lower case are the same classes", () => {
  expect(wsserver).type.toBe<typeof WSServer>()
  expect(websocketproxy).type.toBe<typeof WebSocketProxy>()
})

test("a code of an error is one of the documented numbers", () => {
  expect<ComponentError["code"]>().type.toBe<ErrorCode.Code>()
  expect<ErrorCode.Code>().type.toBeAssignableFrom<104 | 126 | 10048 | 11001>()
  expect<ErrorCode.Code>().type.not.toBeAssignableFrom<105>()
  expect(ErrorCode.textOf).type.not.toBeCallableWith(1)
})
