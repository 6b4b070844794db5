/** What a session is prepared with before anybody gets it. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { PoolSession } from "../../MapepireJob.js"
import type { SessionSettings } from "../../MapepireTransport.js"
import * as failure from "../failure.js"
import { ownRequest } from "../job/request.js"

interface Step {
  readonly text: string
  readonly params: ReadonlyArray<unknown>
}

const register = (name: string, value: string | number): Step | SqlError =>
  /^[A-Z][A-Z_ ]*$/i.test(name) && (typeof value === "string" || Number.isFinite(value))
    ? { text: `SET ${name} = ${typeof value === "number" ? value : `'${value.replaceAll("'", "''")}'`}`, params: [] }
    : failure.badConfig("Special registers are named with letters and blanks, and set to a text or a number")

/** The statements in their order, or what is wrong with the settings. */
const stepsOf = ({ client, onOpen, registers }: SessionSettings): ReadonlyArray<Step> | SqlError => {
  const set = Object.entries(registers ?? {}).map(([name, value]) => register(name, value))
  const wrong = set.find((step) => failure.isSqlError(step))
  if (wrong !== undefined) {
    return wrong
  }
  const { accounting, application, programId, userId, workstation } = client ?? {}
  return [
    ...(client === undefined
      ? []
      : [
          {
            text: "CALL SYSPROC.WLM_SET_CLIENT_INFO(?, ?, ?, ?, ?)",
            // NULL leaves a register as it is.
            params: [userId, workstation, application, accounting, programId].map((value) => value ?? null)
          }
        ]),
    ...(set as ReadonlyArray<Step>),
    ...(onOpen ?? []).map((text) => ({ text, params: [] }))
  ]
}

export const onOpen = (
  session: PoolSession,
  settings: SessionSettings,
  transactional: boolean
): Effect.Effect<void, SqlError> =>
  Effect.suspend(() => {
    const steps = stepsOf(settings)
    if (failure.isSqlError(steps)) {
      return Effect.fail(steps)
    }
    const all = transactional && steps.length > 0 ? [...steps, { text: "COMMIT", params: [] }] : steps
    return Effect.forEach(all, (step) => session.run(ownRequest(step.text, step.params)), { discard: true })
  })
