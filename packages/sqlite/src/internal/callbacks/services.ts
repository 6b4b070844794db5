/** What a callback keeps of the fiber that registers it: its services, but nothing of what that fiber was in just then. */
import * as EffectSql from "@effect/sql/SqlClient"
import { SqlClient } from "@sluice/sql"
import * as Context from "effect/Context"
import * as Tracer from "effect/Tracer"
import { Inside } from "./inside.js"

/** Of one use of a client, or of one fiber: a later call may have them from its caller only. */
const passing = new Set<string>([
  SqlClient.Deadline.key,
  SqlClient.Prefetch.key,
  SqlClient.ReadAhead.key,
  SqlClient.SafeIntegers.key,
  EffectSql.TransactionConnection.key,
  Tracer.ParentSpan.key,
  Inside.key
])

/** Each client has a tag of its own for its transactions. */
const transaction = "@sluice/sql/Transaction/"

export const servicesOf = (context: Context.Context<never>): Context.Context<never> =>
  Context.unsafeMake(
    new Map([...context.unsafeMap].filter(([key]) => !passing.has(key) && !key.startsWith(transaction)))
  )
