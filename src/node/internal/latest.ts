/** The current one of several: the one that was added last, and when that is taken away, the last that is left. */
export class Latest<A> {
  private readonly all: Array<A> = []

  get current(): A | undefined {
    return this.all.at(-1)
  }

  /** Returns a function that takes it away again. */
  add(one: A): () => void {
    this.all.push(one)
    return () => {
      const at = this.all.lastIndexOf(one)
      if (at >= 0) this.all.splice(at, 1)
    }
  }
}
