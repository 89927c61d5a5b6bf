/** Which worker gets a connection. */
import { assert, describe, it } from "@effect/vitest"
import { Spread, type Taker } from "../../src/cli/workers/spread.ts"

interface Named {
  readonly name: string
  readonly destroy: () => void
}

const setting = (maxWaiting?: number) => {
  const cut: Array<string> = []
  const spread = new Spread<Named>(maxWaiting)
  const taker = (share: number) => {
    const taken: Array<string> = []
    const it: Taker<Named> & { readonly taken: Array<string> } = { share, taken, take: ({ name }) => taken.push(name) }
    return it
  }
  const give = (...names: ReadonlyArray<string>) => {
    for (const name of names) spread.give({ name, destroy: () => void cut.push(name) })
  }
  return { spread, taker, give, cut }
}

describe("Spread", () => {
  it("gives each connection to who has the most room, so that shares fill together", () => {
    const { give, spread, taker } = setting()
    const [large, small] = [taker(4), taker(2)]
    spread.join(small)
    spread.join(large)
    give("a", "b", "c", "d", "e", "f")
    assert.strictEqual(large.taken.length, 4)
    assert.strictEqual(small.taken.length, 2)
    // nobody has room: somebody has to say so
    give("g")
    assert.strictEqual(large.taken.length + small.taken.length, 7)
  })

  it("fills up who has come later, and who has lost connections", () => {
    const { give, spread, taker } = setting()
    const [one, two] = [taker(100), taker(100)]
    spread.join(one)
    give("a", "b", "c")
    spread.join(two)
    give("d", "e", "f")
    assert.deepStrictEqual(two.taken, ["d", "e", "f"])
    spread.left(one, 2)
    give("g", "h")
    assert.deepStrictEqual(one.taken, ["a", "b", "c", "g", "h"])
  })

  it("gives nothing to who has left, nor counts what it says then", () => {
    const { give, spread, taker } = setting()
    const [one, two] = [taker(100), taker(100)]
    spread.join(one)
    spread.join(two)
    spread.leave(one)
    spread.left(one, 5)
    give("a", "b")
    assert.deepStrictEqual(two.taken, ["a", "b"])
    assert.strictEqual(spread.size, 1)
  })

  it("gives nobody more than so many beyond its share, whoever does not come to take them, and cuts them off", () => {
    const { cut, give, spread, taker } = setting(2)
    const [one, two] = [taker(1), taker(2)]
    spread.join(one)
    spread.join(two)
    give("a", "b", "c", "d", "e", "f", "g", "h", "i")
    assert.strictEqual(one.taken.length, 3)
    assert.strictEqual(two.taken.length, 4)
    assert.deepStrictEqual(cut, ["h", "i"])
    spread.left(one, 1)
    give("j")
    assert.strictEqual(one.taken.at(-1), "j")
    assert.deepStrictEqual(cut, ["h", "i"])
  })

  it("keeps connections while there is nobody, no more than it may, and cuts them off in the end", () => {
    const { cut, give, spread, taker } = setting(2)
    give("a", "b", "c")
    assert.deepStrictEqual(cut, ["c"])
    const one = taker(100)
    spread.join(one)
    assert.deepStrictEqual(one.taken, ["a", "b"])
    spread.leave(one)
    give("d")
    spread.end()
    give("e")
    assert.deepStrictEqual(cut, ["c", "d", "e"])
  })
})
