/**
 * Exchanges recorded from a daemon, sent again: the answers have the same shape. Texts and types are the database's own
 * and are not compared; the files are those of the client's tests.
 */
import { readFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Answer, open, type RawClient, serve } from "./support.js"

const folder = new URL("../../mapepire/test/frames/", import.meta.url)

interface Line {
  readonly dir: string
  readonly frame?: string
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
  // Division by zero and casts of wrong texts give NULL and 0 in SQLite; a function of H2.
  "04-errors.jsonl": ["e8", "e12", "e14"],
  "12-explain-and-misc.jsonl": ["big"]
}

const shape = (value: unknown): unknown => {
  if (Array.isArray(value)) {
    return "array"
  }
  return value === null ? "null" : typeof value
}

const compared = ({ id: _, execution_time: __, data, error, metadata, vedata, vemetadata, ...rest }: Answer) => ({
  ...rest,
  // Its texts are the driver's.
  error: error === undefined ? undefined : shape(error),
  data: data === undefined ? undefined : (data as ReadonlyArray<unknown>).length,
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
    "12-explain-and-misc.jsonl"
  ])("%s", (file) =>
    Effect.gen(function* () {
      const client = yield* open(yield* serve({ version: "2.3.3", seed }))
      yield* replay(client, file)
    })
  )
})
