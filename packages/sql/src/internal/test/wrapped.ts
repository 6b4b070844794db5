/** A transport around another one. */
import type * as SqlTransport from "../../SqlTransport.js"

/** Everything as it was, except what is given. What a transport computes when asked is still computed when asked. */
export const transport = (
  inner: SqlTransport.SqlTransport,
  own: Pick<SqlTransport.SqlTransport, "connect" | "transactions">
): SqlTransport.SqlTransport => ({
  system: inner.system,
  get attributes() {
    return inner.attributes
  },
  compiler: inner.compiler,
  get limits() {
    return inner.limits
  },
  sharing: inner.sharing,
  grace: inner.grace,
  atomicBatches: inner.atomicBatches,
  prefetch: inner.prefetch,
  ...own
})

type Request = "run" | "open" | "batch" | "describe"

/** The session of a layer that adds no waiting: it keeps what the inner one keeps. */
export const session = (
  inner: SqlTransport.Session,
  own: Pick<SqlTransport.Session, Request>
): SqlTransport.Session => ({
  id: inner.id,
  keepsContract: inner.keepsContract,
  check: inner.check,
  lost: inner.lost,
  inTransaction: () => inner.inTransaction(),
  altered: () => inner.altered?.() === true,
  irreplaceable: () => inner.irreplaceable?.() === true,
  reentrant: (context, statement) => inner.reentrant?.(context, statement),
  pending: inner.pending?.bind(inner),
  ...own
})

/** The same answer, of which somebody wants to know when the driver's own result is asked for. */
export const answer = (inner: SqlTransport.Answer, raw: () => unknown): SqlTransport.Answer => ({
  columns: inner.columns,
  length: inner.length,
  objects: () => inner.objects(),
  arrays: () => inner.arrays(),
  raw,
  error: inner.error,
  done: inner.done,
  inTransaction: inner.inTransaction,
  changes: inner.changes,
  queueNanos: inner.queueNanos,
  engineNanos: inner.engineNanos,
  routable: inner.routable,
  private: inner.private,
  ...(inner.counters === undefined ? {} : { counters: inner.counters })
})
