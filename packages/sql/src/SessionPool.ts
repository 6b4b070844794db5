/**
 * Sessions, opened on demand, lent to one fiber or shared among many.
 *
 * - One queue, strictly first come, first served. Nobody overtakes its head, whatever it waits for.
 * - The warmest session first: the one that was given back last. Cold ones get the chance to be closed.
 * - Waiting is interruptible, and an interrupt never loses a session, nor a connect that is under way: the session
 *   goes to whoever is next.
 * - A session that is idle for too long, too old, lost, or refused by a check is closed and replaced on demand.
 * - Closing the pool's scope closes every session, fails who waits with reason `Closed`, and names who did not give
 *   back.
 *
 * @since 0.1.0
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as internal from "./internal/sessionPool.js"
import type { Session, Sharing } from "./SqlTransport.js"

/**
 * `shared`: beside others, as far as the pool's `sharing` allows (`fifo`: any number, `multiplex`: n, `exclusive`: none).
 * `exclusive`: alone on the session.
 *
 * @since 0.1.0
 * @category models
 */
export type Kind = "shared" | "exclusive"

/**
 * What a pool may be told and has defaults for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings {
  /** Opened when the pool is made, and never closed for being idle. Default 0; at most `max`. */
  readonly min?: number | undefined
  /** The longest wait for a session: queue, validation and connecting together. Default 30 seconds. */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /**
   * A session beyond `min` that nobody used for so long is closed, unless it is `irreplaceable`. Default 10 minutes;
   * infinity: never. One that was used through `unsafeShare` may live up to twice as long.
   */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** An older session is closed when it is next free and not `irreplaceable`. Default infinity. */
  readonly maxLifetime?: Duration.DurationInput | undefined
  /** A session given back more recently than this is lent without `check`. Default 500 milliseconds; 0: always check. */
  readonly bypassWindow?: Duration.DurationInput | undefined
  /**
   * Run on a session that nobody holds, before it is lent. False or a failure disposes of it and another is tried; if it
   * had only just been opened, whoever waited for it fails.
   */
  readonly onAcquire?: ((session: Session) => Effect.Effect<boolean, SqlError>) | undefined
  /** Run after the last lease on a session was given back, before it is lent again. False or a failure disposes of it. */
  readonly onRelease?: ((session: Session) => Effect.Effect<boolean, SqlError>) | undefined
}

/**
 * How a pool is made.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Settings {
  /** Names the pool in failures, statistics and metrics: "sqlite write". */
  readonly name: string
  /**
   * More attributes of the pool's metrics, which tell it from others of its name; false: it is not measured. Metrics are
   * Effect's, named by OpenTelemetry's conventions: `db.client.connection.count` and so on.
   */
  readonly metrics?: Readonly<Record<string, string>> | false | undefined
  /** Opens one session, which its scope closes. Run again for every session, in fibers of the pool. */
  readonly connect: Effect.Effect<Session, SqlError, Scope.Scope>
  /**
   * How leases may share a session. Where sessions of a `fifo` pool tell what is `pending`, shared work goes to the least
   * loaded one, another is opened while all are busy, and none is closed as idle under a running statement.
   */
  readonly sharing: Sharing
  /**
   * Sessions open or being opened at once. A whole number, at least 1. One that is being closed counts, too, but for no
   * longer than a second: a session that cannot be closed does not keep its replacement away.
   */
  readonly max: number
}

/**
 * The right to use a session until it is given back. Whoever has one must end it, by `release` or `retire`; only the
 * first call counts.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lease {
  readonly session: Session
  /** Gives the session back. Never fails, never waits. */
  readonly release: Effect.Effect<void>
  /** The same in the moment of the call, for the end of an Effect that is about to succeed. */
  readonly unsafeRelease: () => void
  /**
   * Gives the session back as not usable: it is lent no more and is closed, in the background, once nobody else has a
   * lease on it. Another is opened when one is needed. Never fails, never waits.
   */
  readonly retire: Effect.Effect<void>
}

/**
 * What a pool has and has done.
 *
 * @since 0.1.0
 * @category models
 */
export interface Statistics {
  readonly name: string
  readonly max: number
  /** Sessions open now: idle, used, or being validated or reset. */
  readonly open: number
  /** Sessions being connected now. */
  readonly opening: number
  /** Sessions that have left the pool and are being closed now. Not counted in `open`. */
  readonly closing: number
  /** Open sessions without a lease, ready to be lent. */
  readonly idle: number
  /** Open sessions with a lease on them. */
  readonly used: number
  /** Leases out now. */
  readonly leases: number
  /** Fibers that wait for a lease now. */
  readonly waiting: number
  /** Leases granted since the pool was made. */
  readonly lent: number
  /** Waits that ended with reason `PoolTimeout`. */
  readonly timeouts: number
  /** Sessions opened since the pool was made. */
  readonly opened: number
  /** Connects that failed, or took longer than the acquire timeout. */
  readonly failed: number
  /** Sessions closed on purpose: idle, too old, refused by a check, or retired by their holder. */
  readonly retired: number
  /** Sessions that died. */
  readonly lost: number
}

/**
 * A pool of sessions.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionPool {
  readonly name: string
  /**
   * The fast path of `fifo` pools: a session that takes a statement right now, since nobody holds it alone and nobody
   * waits; otherwise undefined. Nothing is to be given back. Nothing is validated, so pools with `onAcquire` have none.
   */
  readonly unsafeShare: () => Session | undefined
  /**
   * The fast path of all pools: the lease that `lease` would give without a wait, in the moment of the call; undefined where
   * somebody waits already, no session is free, or it has to be validated first. To be called where interruption is off.
   */
  readonly unsafeLease: (kind: Kind, holder: string) => Lease | undefined
  /**
   * A lease that is not scoped. Fails with reason `PoolTimeout` (naming the holders) or `Closed`, or as `connect` failed.
   *
   * To be called where interruption is off, so that nothing comes between the lease and its release. Only the wait is
   * interruptible, and `wait` says how: it is given an Effect that ends when the lease is there, and may restore
   * interruptibility or put a deadline around it. Whatever ends the wait, the pool keeps its session. Default:
   * `Effect.interruptible`. `holder` is named in failures and reports. `refusal`: asked of each session where it would have
   * to wait; if none is left that could come, it fails with what the first has answered.
   *
   * @example
   * ```ts
   * import { Effect } from "effect"
   * import type { SessionPool, SqlTransport } from "@sluice/sql"
   *
   * declare const pool: SessionPool.SessionPool
   * declare const work: (session: SqlTransport.Session) => Effect.Effect<number>
   *
   * const program = Effect.uninterruptibleMask((restore) =>
   *   Effect.flatMap(pool.lease("exclusive", "nightly report", restore), (lease) =>
   *     Effect.ensuring(restore(work(lease.session)), lease.release)
   *   )
   * )
   * ```
   */
  readonly lease: (
    kind: Kind,
    holder: string,
    wait?: (signal: Effect.Effect<void, SqlError>) => Effect.Effect<void, SqlError>,
    refusal?: (session: Session) => SqlError | undefined
  ) => Effect.Effect<Lease, SqlError>
  /** A lease for as long as a scope is open. Waiting is as interruptible as its caller. */
  readonly scoped: (kind: Kind, holder: string) => Effect.Effect<Lease, SqlError, Scope.Scope>
  readonly statistics: Effect.Effect<Statistics>
}

/**
 * Makes a pool that lives as long as the scope. Fails as `connect` does if `min` is above 0 and the first sessions cannot
 * be opened, and with reason `InvalidParameter` if `max` or `multiplex` is not a whole number of at least 1, or a setting
 * is none.
 *
 * When the scope is closed: who waits fails with reason `Closed`, and so does everybody who comes later; all sessions
 * are closed, also those that are still held. Everything that was added to the scope after the pool has been closed
 * by then, so a lease still out is a leak, and is logged as a warning that names its holder.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: (options: Options) => Effect.Effect<SessionPool, SqlError, Scope.Scope> = internal.make
