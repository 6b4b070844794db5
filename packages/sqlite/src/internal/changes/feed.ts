/** Changes become invalidations of the tables' names, so that reactive queries run again by themselves. */
import type * as Reactivity from "@effect/experimental/Reactivity"
import type { Change } from "./model.js"

type Keys = Parameters<Reactivity.Reactivity.Service["unsafeInvalidate"]>[0]

export class Feed {
  /** What the reactive queries of this client depend on. */
  private readonly keys = new Set<{ readonly keys: Keys }>()
  /** Tables to invalidate, each with how to stop watching for somebody else doing so. */
  private readonly due = new Map<string, () => void>()
  private all = false
  private scheduled = false
  /** Told of one batch by each of its listeners. */
  private last: ReadonlyArray<Change> | undefined

  constructor(private readonly reactivity: Reactivity.Reactivity.Service) {}

  /** A query that depends on these begins; answers how to end it. */
  add(keys: Keys): () => void {
    const entry = { keys }
    this.keys.add(entry)
    return () => void this.keys.delete(entry)
  }

  take(changes: ReadonlyArray<Change>): void {
    if (changes === this.last) {
      return
    }
    this.last = changes
    for (const { table } of changes) {
      if (table === undefined) {
        this.all = true
      } else if (!this.due.has(table)) {
        this.expect(table)
      }
    }
    if (!this.scheduled) {
      this.scheduled = true
      setImmediate(() => this.invalidate())
    }
  }

  /**
   * Changes are told before the statement that has committed them is answered. Whoever invalidates the table right after
   * it has done so for us: queries need not run twice.
   */
  private expect(table: string): void {
    const stop = this.reactivity.unsafeRegister([table], () => void this.done(table))
    this.due.set(table, stop)
  }

  private done(table: string): void {
    this.due.get(table)?.()
    this.due.delete(table)
  }

  private invalidate(): void {
    this.scheduled = false
    this.last = undefined
    const tables = [...this.due.keys()]
    for (const table of tables) {
      this.done(table)
    }
    if (this.all) {
      this.all = false
      for (const { keys } of [...this.keys]) {
        this.reactivity.unsafeInvalidate(keys)
      }
    }
    if (tables.length > 0) {
      this.reactivity.unsafeInvalidate(tables)
    }
  }
}
