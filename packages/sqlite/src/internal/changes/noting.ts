/** Sessions note changes only while somebody listens: the first listener has them begin, the last one has them stop. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Enlist } from "../callbacks/make.js"

/** Never asked: changes come as messages. */
const nobody = { name: "changes", run: () => Effect.void, context: Context.empty() }

export class Noting {
  private listeners = 0
  /** How to have them stop. One for each listener that came before they had begun: it asks by itself, as who it is. */
  private readonly begun: Array<Effect.Effect<void, SqlError>> = []

  constructor(private readonly enlist: Enlist) {}

  /**
   * Until the scope closes. Sessions may be busy: who begins to listen waits until they hear of it, or is interrupted;
   * who stops to does not wait.
   */
  readonly listen: Effect.Effect<void, SqlError, Scope.Scope> = Effect.zipRight(
    Effect.acquireRelease(
      Effect.sync(() => void this.listeners++),
      () => Effect.sync(() => this.leave())
    ),
    Effect.suspend(() => (this.begun.length > 0 ? Effect.void : this.begin))
  )

  private readonly begin = Effect.suspend(() => {
    const { remove, tell } = this.enlist((id) => ({ kind: "changes", id }), nobody)
    return Effect.onExit(tell, (exit) =>
      Effect.sync(() => {
        if (exit._tag === "Success") {
          this.begun.push(remove)
        }
      })
    )
  })

  private leave(): void {
    if (--this.listeners === 0) {
      this.begun.splice(0).forEach((remove) => Effect.runFork(Effect.ignore(remove)))
    }
  }
}
