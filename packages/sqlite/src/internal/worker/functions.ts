/**
 * The SQL functions of one connection, by callbacks and by modules. SQLite has one per name and number of arguments: the one
 * registered last; when that is taken away, the one before it is there again.
 */
import { folded } from "../folded.js"
import type { Callback, Connection, FunctionDefinition } from "./engine.js"

interface Registered {
  /** As the loop numbers registrations; functions of one module share theirs. */
  readonly id: number
  readonly definition: FunctionDefinition
  readonly run: Callback
}

export class Functions {
  private readonly places = new Map<string, ReadonlyArray<Registered>>()

  constructor(private readonly connection: Connection) {}

  add(id: number, definition: FunctionDefinition, run: Callback): void {
    this.connection.setFunction(definition, run)
    const place = `${definition.arity} ${folded(definition.name)}`
    this.places.set(place, [...(this.places.get(place) ?? []), { id, definition, run }])
  }

  /** Takes away all of one registration, or what there is of it. */
  remove(id: number): void {
    for (const [place, registered] of this.places) {
      const last = registered.at(-1)!
      const others = registered.filter((other) => other.id !== id)
      const before = others.at(-1)
      if (last !== before) {
        this.connection.setFunction((before ?? last).definition, before?.run)
      }
      if (before === undefined) {
        this.places.delete(place)
      } else {
        this.places.set(place, others)
      }
    }
  }
}
