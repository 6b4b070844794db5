/** Prepared statements that are kept, so that a repeated INSERT costs one statement of the driver's, and not one each. */
import type { Wire } from "./wire.js"

export interface Handle {
  /** Of the request that prepared it. */
  readonly id: string
  readonly epoch: number
}

export class Handles {
  /** Oldest first. Those in use are not in here: two executions at once would mix up their parameters. */
  private readonly free = new Map<string, Array<Handle>>()
  private count = 0
  /** Counts `clear`s: one that was in use meanwhile, or was being prepared, is not taken back. */
  era = 0

  constructor(
    private readonly wire: Wire,
    private readonly limit: number
  ) {}

  take(text: string): Handle | undefined {
    const list = this.free.get(text)
    for (let handle = list?.pop(); handle !== undefined; handle = list?.pop()) {
      this.count--
      if (list!.length === 0) {
        this.free.delete(text)
      }
      if (handle.epoch === this.wire.epoch) {
        return handle
      }
    }
    return undefined
  }

  /**
   * Gives back one that did its work, and the era in which it was begun. Never one that failed: it may have kept rows that
   * would be run the next time.
   */
  give(text: string, handle: Handle, era: number): void {
    if (this.limit === 0 || era !== this.era) {
      return this.wire.close(handle.id, handle.epoch)
    }
    const list = this.free.get(text) ?? []
    this.free.delete(text)
    this.free.set(text, list)
    list.push(handle)
    if (++this.count > this.limit) {
      this.evict()
    }
  }

  /** What they refer to was decided when they were prepared: after a SET SCHEMA, say, that is not what is meant. */
  clear(): void {
    this.era++
    for (const list of this.free.values()) {
      for (const { epoch, id } of list) {
        this.wire.close(id, epoch)
      }
    }
    this.free.clear()
    this.count = 0
  }

  private evict(): void {
    const [text, list] = this.free.entries().next().value!
    const handle = list.shift()!
    this.count--
    if (list.length === 0) {
      this.free.delete(text)
    }
    this.wire.close(handle.id, handle.epoch)
  }
}
