/** Who takes what comes: of several the one that came last, and when it goes, whoever is left. */
export class Latest<A> {
  private readonly all: Array<A> = []

  get current(): A | undefined {
    return this.all.at(-1)
  }

  /** Gives what takes it away again. */
  add(one: A): () => void {
    this.all.push(one)
    return () => {
      const at = this.all.lastIndexOf(one)
      if (at >= 0) this.all.splice(at, 1)
    }
  }
}
