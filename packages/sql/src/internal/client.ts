/** Puts a client together: pools for the transport's limits, the callable half, and everything that hangs on it. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as EffectSql from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as SessionPool from "../SessionPool.js"
import type { Options, SqlClient } from "../SqlClient.js"
import type * as SqlTransport from "../SqlTransport.js"
import { afterCommit } from "./afterCommit.js"
import { Core, type Pools } from "./core.js"
import * as failure from "./failure.js"
import { guard } from "./guard.js"
import { helpers } from "./helpers.js"
import { type Inside, InsideId } from "./inside.js"
import { many } from "./many.js"
import { Telemetry } from "./observe.js"
import { onSession } from "./onSession.js"
import { waitForCommit } from "./reactivity.js"
import { reserve } from "./reserve.js"
import type { TransformRows } from "./rows.js"
import { Template, Templates } from "./template.js"
import { StatementImpl, type Variant } from "./statement.js"
import { transaction } from "./transaction.js"
import { wrongOptions } from "./wrongOptions.js"

const openPools = (
  transport: SqlTransport.SqlTransport,
  options: SessionPool.Settings,
  metrics: SessionPool.Options["metrics"]
): Effect.Effect<Pools, SqlError, Scope.Scope> =>
  Effect.gen(function* () {
    const open = (name: string, max: number, min: number, profile: SqlTransport.Profile) =>
      SessionPool.make({
        ...options,
        metrics,
        name: `${transport.system} ${name}`,
        connect: Effect.flatMap(transport.connect(profile), (session) =>
          session.keepsContract ? Effect.succeed(session) : guard(session, transport.grace ?? "2 seconds")
        ),
        sharing: profile.use === "statement" ? transport.sharing : transport.sharing === "fifo" ? "fifo" : "exclusive",
        max,
        min: Math.min(max, Math.max(min, options.min ?? 0))
      })
    // The writer opens first: it sets what readers depend on, and it tells at once whether the database can be opened.
    const write = yield* open("write", transport.limits.write, 1, { access: "write", use: "statement" })
    const { limits } = transport
    return {
      write,
      read:
        limits.read > 0
          ? yield* open("read", limits.read, limits.read, { access: "read", use: "statement" })
          : undefined,
      cursor:
        (limits.cursor ?? 0) > 0
          ? yield* open("cursor", limits.cursor!, 0, { access: "read", use: "cursor" })
          : undefined,
      transaction:
        limits.transaction > 0
          ? yield* open("transaction", limits.transaction, 0, { access: "write", use: "transaction" })
          : write
    }
  })

let clients = 0

export const make = (
  transport: SqlTransport.SqlTransport,
  options: Options
): Effect.Effect<SqlClient, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const wrong = wrongOptions(options)
    if (wrong !== undefined) {
      return yield* Effect.fail(wrong)
    }
    const telemetry = new Telemetry(transport, options.spanAttributes ?? {}, options.telemetry ?? {})
    const metrics = telemetry.metrics === undefined ? false : telemetry.tags
    const pools = yield* openPools(transport, options.pool ?? {}, metrics)
    const reactivity = waitForCommit(yield* Reactivity.Reactivity)
    const closed = yield* Deferred.make<never, SqlError>()
    yield* Effect.addFinalizer(() => Deferred.fail(closed, failure.closed()))
    const timeout = options.statementTimeout === undefined ? Infinity : Duration.toMillis(options.statementTimeout)
    const core = new Core(
      transport,
      pools,
      timeout,
      options.prefetch ?? transport.prefetch ?? 64,
      telemetry,
      Deferred.await(closed),
      `@sluice/sql/Transaction/${++clients}`
    )

    const members = {
      [EffectSql.TypeId]: EffectSql.TypeId,
      reserve: reserve(core),
      session: Effect.map(reserve(core), (connection) => connection.level.session),
      withTransaction: transaction(core, {}),
      transaction: (options: Parameters<SqlClient["transaction"]>[0] = {}) => transaction(core, options),
      onSession: onSession(core),
      afterCommit: afterCommit(core),
      many: (text: string, rows: SqlTransport.RowSource<never, never>) => many(core, text, rows),
      describe: (text: string) => core.describeFor(text),
      statistics: Effect.forEach(
        [...new Set([pools.write, pools.read, pools.cursor, pools.transaction])].filter((pool) => pool !== undefined),
        (pool) => pool.statistics
      ),
      reactive: reactivity.stream,
      reactiveMailbox: reactivity.query
    }

    const assemble = (compiler: Statement.Compiler, transformRows: TransformRows): SqlClient => {
      const variant: Variant = { core, compiler, transformRows, constructorOf: () => client }
      const inside: Inside = { transactionOf: (context) => core.levelOf(context), transformRows }
      const client = Object.assign(callable(variant), members, {
        [InsideId]: inside
      }) as unknown as SqlClient
      return Object.assign(client, { safe: client, withoutTransforms: () => client })
    }

    const plain = assemble(transport.compiler.withoutTransform, undefined)
    const client = assemble(transport.compiler, options.transformRows)
    // The variant has no transforms at all, also where only query names are transformed.
    return Object.assign(client, {
      withoutTransforms: function (this: SqlClient) {
        return withMembersOf(plain, this)
      }
    })
  })

/** What a driver put on its client is on the variant, too. */
const withMembersOf = (plain: SqlClient, client: SqlClient): SqlClient => {
  const missing = Object.entries(client).filter(([key]) => !(key in plain))
  return missing.length === 0 ? plain : Object.assign(plain, Object.fromEntries(missing))
}

/** The template function with `@effect/sql`'s helpers; only the statements it makes are ours. */
const callable = (variant: Variant): Statement.Constructor => {
  // A fresh acquirer each time: `Statement.make` remembers what it made by it. It is never run.
  const upstream = Statement.make(
    Effect.dieMessage("statements of this client acquire sessions by themselves"),
    variant.compiler,
    [],
    variant.transformRows
  )
  const wrap = (statement: Statement.Fragment) => new StatementImpl(statement.segments, variant)
  const build = (strings: TemplateStringsArray, args: ReadonlyArray<unknown>) =>
    upstream(strings, ...(args as ReadonlyArray<never>))
  const templates = new Templates(variant.compiler, build)
  const tag = (strings: TemplateStringsArray | string, ...args: Array<never>) => {
    if (typeof strings === "string") {
      return upstream(strings)
    }
    const compiled = templates.compiled(strings, args)
    return compiled === undefined
      ? wrap(build(strings, args))
      : new StatementImpl(new Template(templates, compiled, strings, args), variant)
  }
  return Object.assign(tag, upstream, helpers(upstream), {
    unsafe: (text: string, params?: ReadonlyArray<unknown>) => wrap(upstream.unsafe(text, params))
  })
}
