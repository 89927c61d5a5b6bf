/**
 * A set of many members that come and go, each of which knows its place in it.
 *
 * It is not a `Set`, nor a `Map` by its keys, since V8 has a table of these that was outgrown point to the one that took its place. One
 * such table in the old generation, and a full collection leaves one, keeps all that come after it, and who was in them, until the next
 * full collection: each connection that has come and gone would be copied twice and become old, 3.5 KB of each.
 */

/** Belongs to one roster at a time. */
export interface Member {
  /** Where it is, or -1. For the roster alone to read and to write. */
  place: number
}

export class Roster<M extends Member> implements Iterable<M> {
  private readonly members: Array<M> = []

  get size(): number {
    return this.members.length
  }

  has(member: M): boolean {
    return this.members[member.place] === member
  }

  /** Adds one that is in none. */
  add(member: M): void {
    member.place = this.members.length
    this.members.push(member)
  }

  /** Removes one, and says whether it was there. The last takes its place. */
  delete(member: M): boolean {
    if (!this.has(member)) return false
    const last = this.members.pop()!
    if (last !== member) {
      this.members[member.place] = last
      last.place = member.place
    }
    member.place = -1
    return true
  }

  /** The members at the start, except those that have left when their turn comes. Members may come and go meanwhile. */
  *[Symbol.iterator](): Generator<M, void> {
    for (const member of this.members.slice()) if (this.has(member)) yield member
  }
}
