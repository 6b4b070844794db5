/**
 * Which workers may look for what comes instead of sleeping: of all sessions of a thread together one less than there are
 * cores, so that looking never keeps the event loop from its core.
 */
import { availableParallelism } from "node:os"

/** Places to look, as the sessions of this thread share them: a word each, the session's number or 0. */
export const places = new SharedArrayBuffer(4 * Math.max(0, availableParallelism() - 1))

let sessions = 0

export const nextNumber = (): number => (sessions = (sessions % 0x7ffffffe) + 1)

export class Lookers {
  private readonly words: Int32Array

  constructor(
    places: SharedArrayBuffer,
    private readonly number: number
  ) {
    this.words = new Int32Array(places)
  }

  /** Takes a place; false: all are taken. */
  enter(): boolean {
    return this.replace(0, this.number)
  }

  /** Gives it back. For the other side, too, when the worker is gone. */
  leave(): void {
    this.replace(this.number, 0)
  }

  private replace(from: number, to: number): boolean {
    const { words } = this
    for (let i = 0; i < words.length; i++) {
      if (Atomics.compareExchange(words, i, from, to) === from) {
        return true
      }
    }
    return false
  }
}
