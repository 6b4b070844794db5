/** Everything at once on one file, in configurations as chance has them; and clients closed under their statements. */
import type * as Effect from "effect/Effect"
import type { Soak } from "../soak.js"
import { changesOptions, heard } from "./listener.js"
import { fileIn, livesOn, onFile } from "./sqlite.js"

export const round = (soak: Soak): Effect.Effect<void, unknown> => {
  const { random } = soak
  const config = {
    filename: fileIn(soak),
    readers: random.between(0, 4),
    disableWAL: random.chance(0.2),
    engine: random.chance(0.75) ? ("native" as const) : ("portable" as const),
    onClose: random.oneOf(["wait", "interrupt"] as const),
    statementCacheSize: random.oneOf([1, 4, 200]),
    progressSteps: random.oneOf([50, 1_000]),
    changes: changesOptions(soak),
    // A stuck write of the portable engine would cost its session.
    grace: 30_000,
    busyTimeout: 30_000
  }
  soak.count(`rounds on the ${config.engine} engine`)
  return onFile(soak, config, (sql, ledger) => heard(sql, soak, livesOn(sql, ledger, soak, random.between(1, 10))))
}
