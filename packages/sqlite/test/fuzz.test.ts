/**
 * What crosses the thread boundary and the pump's own, with bytes that nobody would send: from seeds, so that a failure can be
 * had again. `FUZZ=10` makes it ten times as long; `npm run test:asan` runs it on a pump that notices every wrong access.
 */
import { afterAll, afterEach, assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { cancelWord, sharedBytes, slots, Word } from "../src/internal/boundary.js"
import { encode, encodeRows } from "../src/internal/parameters.js"
import { carrier } from "../src/internal/carrier.js"
import { load } from "../src/internal/pump.js"
import { nativeEngine } from "../src/internal/worker/nativeEngine.js"
import { SqlClient } from "@sluice/sql"
import { open as openClient, random } from "./conformance/stopping.js"
import { makeHarness } from "./engineHarness.js"
import { leftovers, onEngines } from "./support.js"

const rounds = (count: number) => count * Number(process.env.FUZZ ?? 1)

/** Seeded choices. */
const choices = (seed: number) => {
  const next = random(seed)
  const below = (limit: number) => Math.floor(next() * limit)
  const bytes = (length: number) => Uint8Array.from({ length }, () => below(256))
  /** Lengths around what decides which way a value takes. */
  const length = () => {
    const edges = [0, 1, 7, 60, 1000, 1024, 4096, 65_536, 262_144]
    return Math.max(0, edges[below(edges.length)]! + below(33) - 16)
  }
  const value = (): unknown => {
    switch (below(8)) {
      case 0:
        return null
      case 1:
        return below(1000) - 500
      case 2:
        return (next() - 0.5) * 1e300
      case 3:
        return BigInt(below(2 ** 31)) * BigInt(below(2 ** 31)) * (next() < 0.5 ? -1n : 1n)
      case 4:
        return "é€𝄞".repeat(length() / 9)
      case 5:
        return "x".repeat(length())
      case 6:
        return new Uint8Array(length()).fill(below(256))
      default:
        return String.fromCharCode(...Array.from({ length: below(20) }, () => below(0xd800)))
    }
  }
  return { next, below, bytes, value }
}

const pump = load(carrier())

describe.runIf(pump !== undefined)("the pump survives (native)", () => {
  const harness = makeHarness(() => nativeEngine(pump!))
  const { bind, cleanUp, drain, open, prepare, run } = harness
  afterEach(cleanUp)

  /** What it may do with nonsense: refuse it as SQLite does, or as Node does. */
  const survives = (act: () => unknown, what: string) => {
    try {
      act()
    } catch (error) {
      const { code, name } = error as Error & { readonly code?: unknown }
      const refused = typeof code === "number" || name === "TypeError" || name === "RangeError"
      assert.isTrue(refused, `${what}: ${String(error)}`)
    }
  }

  it("parameters that are cut off, changed, or never were any", () => {
    const at = open()
    const statement = prepare(at, "select ?, ?, ?")
    for (let seed = 1; seed <= rounds(2000); seed++) {
      const { below, bytes, value } = choices(seed)
      const good = new Uint8Array(encode([value(), value(), value()]))
      const bad = below(3) === 0 ? bytes(below(64)) : good.slice(0, below(good.length + 1))
      for (let i = below(4); i > 0 && bad.length > 0; i--) bad[below(bad.length)] = below(256)
      // A buffer of exactly this size, so that one byte too many is one outside.
      survives(() => {
        statement.bind(bad, below(4) === 0 ? below(80) - 8 : 0, below(6), below(2) === 0)
        drain(statement)
      }, `seed ${seed}`)
      statement.reset()
    }
    bind(statement, [1, "two", null])
    assert.deepStrictEqual(drain(statement).rows, [[1n, "two", null]])
  })

  it("batches whose rows are not what their numbers say", () => {
    const at = open()
    run(at, "create table t (a, b)")
    const insert = prepare(at, "insert into t values (?, ?)")
    for (let seed = 1; seed <= rounds(500); seed++) {
      const { below, value } = choices(seed)
      const rows = Array.from({ length: below(5) }, () => [value(), value()])
      const encoded = new Uint8Array(encodeRows(rows))
      const bad = encoded.slice(0, below(2) === 0 ? encoded.length : below(encoded.length + 1))
      for (let i = below(3); i > 0 && bad.length > 0; i--) bad[below(bad.length)] = below(256)
      const out = new Uint8Array(below(300))
      survives(() => insert.batch(bad, 0, below(4), below(8), out, below(2) * 8, out.length), `seed ${seed}`)
      survives(() => at.connection.inTransaction() && at.connection.exec("rollback"), "rollback")
      run(at, "delete from t")
    }
    assert.deepStrictEqual(run(at, "pragma integrity_check").rows, [["ok"]])
  })

  it("pages of any size hold the same rows", () => {
    const at = open()
    run(at, "create table t (n integer primary key, a, b, c)")
    for (let seed = 1; seed <= rounds(40); seed++) {
      const { below, value } = choices(seed)
      run(at, "delete from t")
      const given = Array.from({ length: below(30) }, (_, n) => [BigInt(n), value(), value(), value()])
      for (const row of given) run(at, "insert into t values (?, ?, ?, ?)", ...row)
      const statement = prepare(at, "select * from t order by n")
      const { rows } = drain(statement, 1 + below(10), 96 + 8 * below(3000))
      statement.finalize()
      const whole = run(at, "select * from t order by n").rows
      assert.strictEqual(whole.length, given.length)
      assert.deepStrictEqual(rows, whole, `seed ${seed}`)
    }
  })

  it("control words of any content stop a statement or do not, and never the next one", () => {
    const at = open()
    for (let seed = 1; seed <= rounds(300); seed++) {
      const { below } = choices(seed)
      const seq = 1 + below(5)
      const slot = below(slots)
      for (let i = 0; i < 20; i++) {
        at.words[cancelWord + below(slots)] = below(6)
        at.deadlines[below(slots)] = BigInt(below(3)) * (process.hrtime.bigint() - 1000n + BigInt(below(2_000_000)))
      }
      at.words[Word.interrupt] = below(6)
      survives(() => at.connection.start(seq, below(10) === 0 ? below(1 << 30) - (1 << 29) : slot), `seed ${seed}`)
      survives(
        () =>
          run(at, "with recursive up(n) as (select 1 union all select n + 1 from up limit 3000) select max(n) from up"),
        "run"
      )
      at.connection.end()
    }
    assert.deepStrictEqual(run(at, "select 1").rows, [[1n]])
  })

  it("texts of any content", () => {
    const at = open()
    const words = [
      "select",
      "from",
      "(",
      ")",
      "'",
      '"',
      "--",
      "/*",
      "*/",
      ";",
      "\0",
      "?",
      "?9",
      "x''",
      "é",
      "\ud800",
      "with",
      "as",
      "1",
      ","
    ]
    for (let seed = 1; seed <= rounds(2000); seed++) {
      const { below } = choices(seed)
      const text = Array.from({ length: below(30) }, () => words[below(words.length)]).join(below(2) === 0 ? " " : "")
      survives(() => at.connection.prepare(text)?.finalize(), `seed ${seed}`)
    }
    assert.deepStrictEqual(run(at, "select 1").rows, [[1n]])
  })

  it("connections on control blocks of any size, and images of any content", () => {
    for (let seed = 1; seed <= rounds(100); seed++) {
      const { below, bytes } = choices(seed)
      const at = open()
      const image = bytes(below(2) === 0 ? below(200) : 4096)
      image.set(Buffer.from("SQLite format 3\0").subarray(0, image.length))
      survives(() => {
        at.connection.deserialize(image.buffer)
        run(at, "select * from sqlite_schema")
      }, `seed ${seed}`)
      cleanUp()
    }
    assert.isAbove(sharedBytes, 4096)
  })
})

onEngines("requests of every size come through as they are", (engine) => {
  afterAll(() => Effect.runPromise(leftovers))

  it.scopedLive("values, rows and pages around the sizes of slots, rings and messages", () =>
    Effect.gen(function* () {
      const sql = yield* openClient(engine)
      const exact = Effect.provideService(SqlClient.SafeIntegers, true)
      yield* sql`create table t (seed, n, a, b)`
      for (let seed = 1; seed <= rounds(6); seed++) {
        const { below, value } = choices(seed)
        // A lone NUL ends a text on some carriers.
        const plain = (): unknown => {
          const made = value()
          return typeof made === "string" ? made.replaceAll("\0", "0") : typeof made === "number" ? made + 0.5 : made
        }
        const rows = Array.from({ length: 20 }, (_, n) => [seed, n, plain(), plain()] as const)
        yield* sql.many("insert into t values (?, ?, ?, ?)", rows.slice(0, 10))
        yield* Effect.forEach(rows.slice(10), (row) => sql.unsafe("insert into t values (?, ?, ?, ?)", row), {
          concurrency: 1 + below(80)
        })
        const text = "select a, b from t where seed = ? order by n"
        const expected = rows.map(([, , a, b]) => [a, b])
        assert.deepStrictEqual(yield* exact(sql.unsafe(text, [seed]).values), expected)
        const streamed = sql
          .unsafe<{ a: unknown; b: unknown }>(text, [seed])
          .pipe(SqlClient.withPrefetch(1 + below(40)))
        const chunks = yield* exact(Stream.runCollect(streamed.stream))
        assert.deepStrictEqual(
          [...chunks].map(({ a, b }) => [a, b]),
          expected
        )
      }
    })
  )
})
