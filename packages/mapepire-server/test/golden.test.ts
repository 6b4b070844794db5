/**
 * Exchanges recorded from a daemon, sent again: the answers have the same shape. Texts and types are the database's own
 * and are not compared; the files are those of the client's tests.
 */
import { readFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Answer, authorization, open, type OpenOptions, type RawClient, serve, spinFor } from "./support.js"

const folder = new URL("../../mapepire/test/frames/", import.meta.url)

interface Line {
  readonly dir: string
  readonly frame?: string
  readonly text?: string
  readonly status?: number
}

const lines = (file: string): ReadonlyArray<Line> =>
  readFileSync(new URL(file, folder), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line)

/** Requests in order, each with the answer that the daemon gave. */
const exchanges = (file: string): ReadonlyArray<{ readonly request: Answer; readonly answer: Answer }> => {
  const all = lines(file)
  const answers = all.filter(({ dir }) => dir === "recv").map(({ frame }) => JSON.parse(frame!) as Answer)
  const taken = new Set<Answer>()
  return all
    .filter(({ dir }) => dir === "send")
    .flatMap(({ frame }) => {
      let request: Answer
      try {
        request = JSON.parse(frame!) as Answer
      } catch {
        return []
      }
      const answer = answers.find((one) => !taken.has(one) && one.id === String(request.id))
      if (answer === undefined) {
        return []
      }
      taken.add(answer)
      return [{ request, answer }]
    })
}

const seed = [
  "create table sample.numbers (n int not null primary key, txt varchar(40))",
  "insert into sample.numbers with x(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from x where n < 5000) " +
    "select n, 'row ' concat n from x",
  "create table sample.department (deptno char(3) not null primary key, deptname varchar(36) not null, mgrno char(6), " +
    "admrdept char(3) not null, location char(16))",
  "insert into sample.department values " +
    Array.from({ length: 14 }, (_, i) => `('${String.fromCharCode(65 + i)}00', 'x', null, 'A00', null)`).join(", ")
]

/** What the stand-in behind the daemon had and SQLite has not, by file and id. */
const skipped: Readonly<Record<string, ReadonlyArray<string>>> = {
  // A table of every type; a statement that only H2 knows.
  "01-basic.jsonl": ["q4"],
  // The stand-in reports a result of a connection that is gone, where the driver says that it is closed.
  "02-paging.jsonl": ["i1"],
  // H2's DROP … IF EXISTS, values checked by the database where our driver refuses them first, and procedures in SQL.
  "03-prepared.jsonl": ["t0", "db", "o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7", "dd"],
  // A function of H2.
  "04-errors.jsonl": ["e14"],
  // What the stand-in answered to statements whose connection was closed under them; ours end before it is.
  "06-concurrency.jsonl": ["slow5", "slow6"],
  "12-explain-and-misc.jsonl": ["big"]
}

/** Statements of the stand-in, in our words. */
const reworded = (request: Answer): Answer =>
  typeof request.sql === "string"
    ? {
        ...request,
        sql: request.sql
          .replace("values sample.sleep_ms(1500)", spinFor(600_000))
          .replace(/values sample\.sleep_ms\(\d+\)/, spinFor(300_000))
          .replace(/^(drop table \S+) if exists$/, "$1")
      }
    : request

const shape = (value: unknown): unknown => {
  if (Array.isArray(value)) {
    return "array"
  }
  return value === null ? "null" : typeof value
}

/** How much a command writes into its job log is the system's own. */
const isLog = (answer: Answer): boolean =>
  answer.metadata !== undefined && answer.has_results === undefined && answer.parameter_count === undefined

const compared = ({ id: _, execution_time: __, data, error, metadata, vedata, vemetadata, ...rest }: Answer) => ({
  ...rest,
  // Its texts are the driver's.
  error: error === undefined ? undefined : shape(error),
  data: data === undefined ? undefined : isLog({ metadata, ...rest }) ? "log" : (data as ReadonlyArray<unknown>).length,
  metadata: metadata === undefined ? undefined : Object.keys(metadata as object),
  vedata: shape(vedata),
  vemetadata: shape(vemetadata),
  job: rest.job === undefined ? undefined : shape(rest.job),
  build_date: shape(rest.build_date),
  output_parms: rest.output_parms === undefined ? undefined : shape(rest.output_parms)
})

const replay = (client: RawClient, file: string) =>
  Effect.forEach(
    exchanges(file),
    ({ answer, request }) =>
      Effect.gen(function* () {
        const before = client.frames.length
        client.send(request)
        const frame = yield* client.until(() => client.frames[before], String(request.id))
        if (skipped[file]?.includes(String(request.id)) !== true) {
          const id = String(request.id)
          expect({ id, ...compared(JSON.parse(frame.text) as Answer) }).toEqual({ id, ...compared(answer) })
        }
      }),
    { discard: true }
  )

describe("recorded exchanges", () => {
  it.scopedLive.each([
    "01-basic.jsonl",
    "02-paging.jsonl",
    "03-prepared.jsonl",
    "04-errors.jsonl",
    "05-cl.jsonl",
    "12-explain-and-misc.jsonl"
  ])("%s", (file) =>
    Effect.gen(function* () {
      const client = yield* open(yield* serve({ version: "2.3.3", seed }))
      yield* replay(client, file)
    })
  )

  it.scopedLive("06-concurrency.jsonl: what was sent without waiting is sent so, on two sockets", () =>
    Effect.gen(function* () {
      const file = "06-concurrency.jsonl"
      const server = yield* serve({ version: "2.3.3", seed, onDisconnect: "stop" })
      const sockets = [yield* open(server), yield* open(server)] as const
      const second = new Set(["ping3", "quick3"])
      const expected = new Map(exchanges(file).map(({ answer, request }) => [String(request.id), answer]))
      let checked = 0
      let opened = 0
      const waitFor = (socket: RawClient, id: string) =>
        Effect.gen(function* () {
          const got = yield* socket.answerTo(id)
          // "create, insert, select" and "prepare, execute" in one go: whichever came first.
          const unordered = /^(?:o[234]|p2)_/.test(id)
          if (!unordered && skipped[file]!.includes(id) === false) {
            expect({ id, ...compared(got) }).toEqual({ id, ...compared(expected.get(id)!) })
            checked++
          }
        })
      let burst: Array<readonly [RawClient, string]> = []
      for (const { dir, frame } of lines(file)) {
        if (dir === "open") {
          opened++
        } else if (dir === "send") {
          const request = JSON.parse(frame!) as Answer
          const id = String(request.id)
          const socket = sockets[second.has(id) || (id === "c1" && opened === 2) ? 1 : 0]
          if (request.type === "connect" && id === "re") {
            yield* Effect.sleep(50)
          }
          socket.send(reworded(request))
          burst.push([socket, id])
        } else if (burst.length > 0) {
          yield* Effect.forEach(burst, ([socket, id]) => waitFor(socket, id), { discard: true })
          burst = []
        }
      }
      expect(checked).toBeGreaterThan(120)
      const order = sockets[0].frames.map(({ text }) => (JSON.parse(text) as Answer).id as string)
      expect(new Set(order).size).toBe(order.length)
      const before = (one: string, other: string) =>
        expect([one, other, order.indexOf(one) < order.indexOf(other)]).toEqual([one, other, true])
      before("ping", "slow")
      before("slowcl", "ping2")
      before("re", "ping5")
    })
  )

  it.scopedLive("09-auth.jsonl: who is let in, and where", () =>
    Effect.gen(function* () {
      const server = yield* serve({ version: "2.3.3", seed: [], users: { DEMO: "demo" } })
      const ways: Readonly<Record<string, OpenOptions>> = {
        none: { header: undefined },
        bearer: { header: "Bearer abc" },
        "no colon": { header: `Basic ${Buffer.from("demo").toString("base64")}` },
        "empty password": { header: authorization("demo", "") },
        "empty user": { header: authorization("", "demo") },
        "colon in password": { header: authorization("demo", "a:b") },
        "blank password": { header: authorization("demo", " ") },
        "user with *": { header: authorization("de*mo", "demo") },
        "bad base64": { header: "Basic ###" },
        "lower-case basic": { header: authorization("demo", "demo").replace("Basic", "basic") },
        "wrong password": { header: authorization("DEMO", "wrong") },
        "unknown user": { header: authorization("NOBODY", "demo") },
        "lower-case user": { header: authorization("demo", "demo") },
        "password with ;": { header: authorization("demo", "demo;x=y") },
        "password with %": { header: authorization("demo", "a%zb") },
        "path /": { header: authorization("demo", "demo"), path: "/" },
        "path /db": { header: authorization("demo", "demo"), path: "/db" },
        "path /db/x/y": { header: authorization("demo", "demo"), path: "/db/x/y" }
      }
      let way = ""
      let status = 0
      let client: RawClient | undefined
      let tried = 0
      for (const { dir, frame, status: recorded, text } of lines("09-auth.jsonl")) {
        if (dir === "note") {
          way = text!
          tried++
          expect(Object.keys(ways)).toContain(way)
          const opened = yield* Effect.either(open(server, ways[way]))
          client = opened._tag === "Right" ? opened.right : undefined
          status = opened._tag === "Right" ? 101 : opened.left.status
        } else if (dir === "http") {
          expect([way, status]).toEqual([way, recorded])
        } else if (dir === "recv") {
          const got = yield* client!.connect()
          expect([way, compared(got)]).toEqual([way, compared(JSON.parse(frame!) as Answer)])
        }
      }
      expect(tried).toBe(Object.keys(ways).length)
    })
  )

  it.scopedLive("14-size.jsonl: requests of any size below the limit", () =>
    Effect.gen(function* () {
      const client = yield* open(yield* serve({ version: "2.3.3", seed: [] }))
      yield* client.connect()
      const sizes = lines("14-size.jsonl")
        .filter(({ dir }) => dir === "recv")
        .map(({ frame }) => JSON.parse(frame!) as Answer)
        .filter(({ id }) => /^k\d+$/.test(String(id)))
      expect(sizes.length).toBe(5)
      for (const answer of sizes) {
        const length = Number(String(answer.id).slice(1)) * 1024
        const got = yield* client.ask({ type: "sql", sql: `values length('${"x".repeat(length)}')`, terse: true })
        expect(got.data).toEqual(answer.data)
        expect(compared(got)).toEqual(compared(answer))
      }
    })
  )
})
