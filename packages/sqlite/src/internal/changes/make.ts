/** The stream of changes of a client, and reactive queries that it runs again. */
import type * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import { type SqlClient, SqlFailure } from "@sluice/sql"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { SqliteTransport } from "../../SqliteTransport.js"
import { isMemory } from "../isMemory.js"
import { onWriter } from "../onWriter.js"
import type { SqliteSession } from "../sqliteSession.js"
import { anything, decode } from "./decode.js"
import { Feed } from "./feed.js"
import type { Change, ChangesOptions } from "./model.js"
import { Noting } from "./noting.js"
import { Subscriber } from "./subscriber.js"

type Listener = (changes: ReadonlyArray<Change>) => void

const isReentrant = SqlFailure.is("ReentrantCall")

/** Asks again and again whether another connection has committed, and tells so. Never fails: who cannot ask waits. */
const watchFile = (client: SqlClient.SqlClient, interval: Duration.Duration, changed: () => void) => {
  let last: { readonly session: SqliteSession; readonly version: unknown } | undefined
  const look = onWriter(client)((session) =>
    Effect.map(session.command({ _tag: "DataVersion" }), (version) => {
      const before = last
      last = { session, version }
      // Versions of two sessions cannot be compared.
      if (before !== undefined && (before.session !== session || before.version !== version)) {
        changed()
      }
    })
  )
  return Effect.forever(Effect.zipRight(Effect.ignore(look), Effect.sleep(interval))).pipe(
    // Not within the transaction of who happens to listen first.
    Effect.mapInputContext((_: Context.Context<never>) => Context.empty())
  )
}

export const make = (
  client: SqlClient.SqlClient,
  transport: SqliteTransport,
  reactivity: Reactivity.Reactivity.Service,
  options: ChangesOptions
): Effect.Effect<
  Pick<SqlClient.SqlClient, "reactive" | "reactiveMailbox"> & { readonly changes: Stream.Stream<Change, SqlError> },
  never,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const listeners = new Set<Listener>()
    const subscribers = new Set<Subscriber>()
    const tell = (changes: ReadonlyArray<Change>) => {
      for (const listener of listeners) {
        listener(changes)
      }
    }
    const interval = Duration.decode(options.interval ?? "1 second")
    transport.onChanges((message) => tell(decode(message)))
    const noting = new Noting(transport.enlist)
    // Who listens first may do so where it must not be interrupted.
    const watch = Effect.interruptible(watchFile(client, interval, () => tell([anything])))
    const watching = yield* RcRef.make({
      acquire: isMemory(transport.config.filename) ? Effect.void : Effect.asVoid(Effect.forkScoped(watch))
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => subscribers.forEach((subscriber) => subscriber.end())))

    /** Hears of commits of others until the scope closes, and of rows once sessions note them. */
    const listen = (listener: Listener): Effect.Effect<void, never, Scope.Scope> =>
      Effect.zipRight(
        Effect.acquireRelease(
          Effect.sync(() => void listeners.add(listener)),
          () => Effect.sync(() => void listeners.delete(listener))
        ),
        RcRef.get(watching)
      )

    const changes = Stream.unwrapScoped(
      Effect.gen(function* () {
        // Of what has ended with the client one could only be interrupted.
        yield* transport.open
        const subscriber = new Subscriber(Math.max(1, options.capacity ?? 16_384))
        yield* Effect.acquireRelease(
          Effect.sync(() => void subscribers.add(subscriber)),
          () => Effect.sync(() => void subscribers.delete(subscriber))
        )
        yield* noting.listen
        yield* listen((changes) => subscriber.offer(changes))
        return Stream.repeatEffectChunkOption(subscriber.take)
      })
    )

    const feed = new Feed(reactivity)
    /** Until the scope closes. On an engine that cannot tell of rows, only commits of others are heard of. */
    const feeding = (keys: Parameters<Feed["add"]>[0]) =>
      Effect.gen(function* () {
        yield* transport.open
        yield* Effect.acquireRelease(
          Effect.sync(() => feed.add(keys)),
          (remove) => Effect.sync(remove)
        )
        yield* Effect.catchAll(noting.listen, (error) => (isReentrant(error) ? Effect.fail(error) : Effect.void))
        yield* listen((changes) => feed.take(changes))
      })

    return {
      changes,
      reactive: (keys, effect) =>
        Stream.unwrapScoped(Effect.as(feeding(keys), reactivity.stream(keys, effect))) as never,
      reactiveMailbox: (keys, effect) => Effect.zipRight(feeding(keys), reactivity.query(keys, effect)) as never
    }
  })
