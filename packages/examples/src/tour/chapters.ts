/** The program of the tour: it knows a client, not which database is behind it. */
import { Effect } from "effect"
import { ask } from "./ask.js"
import { load } from "./load.js"
import { parallel } from "./parallel.js"
import { Place } from "./place.js"
import * as Report from "./report.js"
import { stop } from "./stop.js"
import { stream } from "./stream.js"
import { transaction } from "./transaction.js"

export const chapters = Effect.gen(function* () {
  const { facts, name } = yield* Place
  yield* Report.title(name, facts)
  yield* load
  yield* ask
  yield* stream
  yield* stop
  yield* transaction
  yield* parallel
})
