/** Requests of our own, which belong to no task: nobody stops them. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Frame } from "../frame.js"
import { Call } from "./call.js"
import type { Wire } from "./wire.js"

const asked = (
  wire: Wire,
  request: Call["request"],
  statement: string | undefined,
  give: (call: Call) => void
): Effect.Effect<Frame, SqlError> =>
  Effect.async<Frame, SqlError>((resume) => {
    const call = new Call(request, Infinity, statement, (error, frame) =>
      resume(error === undefined ? Effect.succeed(frame!) : Effect.fail(error))
    )
    give(call)
    return Effect.sync(() => (call.sent ? wire.abandon(call) : wire.drop(call)))
  })

/** One request, as an Effect that answers with the daemon's response, whatever it says. */
export const ask = (wire: Wire, request: Call["request"], statement?: string): Effect.Effect<Frame, SqlError> =>
  asked(wire, request, statement, (call) => wire.submit(call))

/** A statement that does nothing, sent past what is held back: for a cancel to hit, or to see that the job is quiet. */
export const runHarmless = (wire: Wire): Effect.Effect<Frame, SqlError> =>
  asked(wire, { type: "sql", sql: "VALUES 1", rows: 1, terse: true }, "VALUES 1", (call) => wire.send(call))
