/**
 * Registers the catalogue with vitest, for one server that echoes messages.
 */
import * as assert from "node:assert/strict"
import { afterAll, beforeAll, describe, it } from "vitest"
import type { Case, Connect } from "./case.ts"
import { catalogue } from "./catalogue.ts"
import { open, type Peer } from "./client.ts"
import { Tcp } from "./wire/tcp.ts"

/** A server that listens on a free port of the loopback interface and sends every message back as it came. */
export interface Target {
  readonly host: string
  readonly port: number
  /** The request target of the echoing endpoint. Default `/`. */
  readonly path?: string
  readonly stop: () => Promise<void>
}

/** Some cases, and what is to be said of them. */
export interface Listed {
  /** Ids of cases; a trailing `*` stands for any rest. */
  readonly ids: ReadonlyArray<string>
  readonly reason: string
}

/** Cases in which a target is known not to do what is expected. They must go on failing, or leave the list. */
export type Difference = Listed

/** Cases that a target has no part in, whether they would pass or not. They are not run. */
export type Omission = Listed

export interface Options {
  readonly differences?: ReadonlyArray<Difference>
  readonly omissions?: ReadonlyArray<Omission>
}

const PATIENCE = 10_000
/** How long a case that is expected to fail waits: too short only makes it fail, as expected. */
const SHORT_PATIENCE = 200
const TIMEOUT = process.env["CONFORMANCE_FULL"] === "1" ? 600_000 : 60_000

const listed = (list: ReadonlyArray<Listed>, id: string): Listed | undefined =>
  list.find(({ ids }) =>
    ids.some((pattern) => (pattern.endsWith("*") ? id.startsWith(pattern.slice(0, -1)) : id === pattern))
  )

/** Runs one case; every connection that it made is gone afterwards. */
export const runCase = async (
  run: Case["run"],
  target: Omit<Target, "stop">,
  patience: number = PATIENCE
): Promise<void> => {
  const connections: Array<Tcp> = []
  const peers: Array<Peer> = []
  const host = `${target.host}:${target.port}`
  const path = target.path ?? "/"
  const tcp = async (): Promise<Tcp> => {
    const connection = await Tcp.connect(target.host, target.port, patience)
    connections.push(connection)
    return connection
  }
  const connect: Connect = Object.assign(
    async (options = {}) => {
      const peer = await open(await tcp(), host, path, options)
      peers.push(peer)
      return peer
    },
    { tcp, host, target: path }
  )
  try {
    await run(connect)
  } finally {
    for (const peer of peers) peer.dispose()
    for (const connection of connections) connection.destroy()
  }
}

export const conformance = (name: string, start: () => Promise<Target>, options: Options = {}): void => {
  const differences = options.differences ?? []
  const omissions = options.omissions ?? []
  describe(name, () => {
    let target: Target | undefined

    beforeAll(async () => {
      target = await start()
    })

    afterAll(async () => {
      await target?.stop()
    })

    const started = (): Target => {
      assert.ok(target !== undefined, "the target has not started")
      return target
    }

    it("lists no case that is not in the catalogue", () => {
      const ids = catalogue.flatMap((group) => group.cases.map((one) => one.id))
      assert.equal(new Set(ids).size, ids.length, "an id is used twice")
      for (const named of [...differences, ...omissions]) {
        for (const id of named.ids) {
          assert.ok(
            ids.some((known) => listed([{ ids: [id], reason: "" }], known) !== undefined),
            id
          )
        }
      }
    })

    for (const omission of omissions) {
      const count = catalogue.flatMap(({ cases }) => cases.filter(({ id }) => listed([omission], id))).length
      it(`leaves out ${count} cases: ${omission.reason}`, () => assert.ok(count > 0))
    }

    for (const group of catalogue) {
      describe(group.title, () => {
        for (const one of group.cases) {
          if (listed(omissions, one.id) !== undefined) continue
          const title = `${one.id} ${one.title} (${one.rfc})`
          const difference = listed(differences, one.id)
          if (difference === undefined) {
            it.concurrent(title, () => runCase(one.run, started()), TIMEOUT)
          } else {
            it.concurrent(
              `${title}: known difference, ${difference.reason}`,
              async () => {
                const failed = await runCase(one.run, started(), SHORT_PATIENCE).then(
                  () => false,
                  () => true
                )
                assert.ok(failed, "it does what is expected now: take it off the list")
                if (one.tolerated !== undefined) await runCase(one.tolerated, started())
              },
              TIMEOUT
            )
          }
        }
      })
    }
  })
}
