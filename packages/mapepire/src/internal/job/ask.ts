/** Requests of our own, which belong to no task: nobody stops them. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Frame } from "../frame.js"
import { Call } from "./call.js"
import type { Wire } from "./wire.js"

/** One request, as an Effect that answers with the daemon's response, whatever it says. */
export const ask = (wire: Wire, request: Call["request"], statement?: string): Effect.Effect<Frame, SqlError> =>
  Effect.async<Frame, SqlError>((resume) => {
    const call = new Call(request, Infinity, statement, (error, frame) =>
      resume(error === undefined ? Effect.succeed(frame!) : Effect.fail(error))
    )
    wire.submit(call)
    return Effect.sync(() => (call.sent ? wire.abandon(call) : wire.drop(call)))
  })

/** A statement that does nothing, sent past what is held back: for a cancel to hit, or to see that the job is quiet. */
export const runHarmless = (wire: Wire): Effect.Effect<Frame, SqlError> =>
  Effect.async<Frame, SqlError>((resume) => {
    const call = new Call(
      { type: "sql", sql: "VALUES 1", rows: 1, terse: true },
      Infinity,
      "VALUES 1",
      (error, frame) => resume(error === undefined ? Effect.succeed(frame!) : Effect.fail(error))
    )
    wire.send(call)
    return Effect.sync(() => wire.abandon(call))
  })
