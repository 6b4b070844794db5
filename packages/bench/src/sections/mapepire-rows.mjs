/** 100,000 rows with exact numbers from the text of their messages, beside what JSON.parse makes of it. */
import { format } from "../harness.mjs"
import { columns, frames } from "../mapepire/frames.mjs"
import { quantile, threadCpu } from "../measure.mjs"

// Not exported: no program reads messages by itself.
const { parse } = await import("../../../mapepire/dist/internal/frame.js")
const { rowDecoder } = await import("../../../mapepire/dist/internal/rows.js")

const total = 100_000
/** What counts is the quickest run: the others had the machine's other load, too. */
const best = (values) => quantile(values, 0)

const json = (messages) => {
  let rows = 0
  for (const message of messages) {
    rows += JSON.parse(message).data.length
  }
  return rows
}

const exact = (integers) => (messages) => {
  let rows = 0
  const decoder = rowDecoder(columns, { integers, shape: "objects" })
  for (const message of messages) {
    rows += decoder.decode(parse(message).data).objects().length
  }
  return rows
}

const once = (read, messages) => {
  globalThis.gc()
  const start = threadCpu()
  const rows = read(messages)
  const cpu = (threadCpu() - start) / 1e6
  if (rows !== total) {
    throw new Error(`read ${rows} rows instead of ${total}`)
  }
  return cpu
}

/** Both in turns in one process. The messages are made anew each time, as they would come: nothing is known of them. */
const measure =
  ({ integers, perPage, texts }) =>
  ({ quick }) => {
    const [ours, theirs] = [[], []]
    for (let i = 0; i < (quick ? 8 : 16); i++) {
      const messages = frames(total, perPage, texts).map((text) => Buffer.from(text).toString("utf8"))
      ours.push(once(exact(integers), messages))
      theirs.push(once(json, messages))
    }
    return { ours: best(ours), json: best(theirs), ratio: best(ours) / best(theirs) }
  }

const kinds = [
  { name: "pages of 1,000, plain texts", perPage: 1_000, texts: "plain", integers: "number" },
  { name: "one page, plain texts", perPage: total, texts: "plain", integers: "number" },
  { name: "pages of 1,000, escaped texts", perPage: 1_000, texts: "escaped", integers: "number" },
  { name: "one page, escaped texts", perPage: total, texts: "escaped", integers: "number" },
  { name: "pages of 1,000, plain texts, SafeIntegers", perPage: 1_000, texts: "plain", integers: "bigint" }
]

export default {
  name: "mapepire-rows",
  title: "100,000 rows of 6 columns (BIGINT, INTEGER, DECIMAL, NUMERIC, VARCHAR, DATE) to objects with exact numbers",
  cells: () => kinds.map((kind) => ({ name: kind.name, run: measure(kind) })),
  metrics: [
    { key: "ours", label: "Sluice", unit: "ms" },
    { key: "json", label: "JSON.parse", unit: "ms" },
    { key: "ratio", label: "ratio", unit: "×", spread: false }
  ],
  bars: ({ median }) =>
    kinds.map(({ name }) => {
      const ratio = median(name, "ratio")
      return { bar: `${name}: at most 1.25 × JSON.parse`, figure: format(ratio, "×"), met: ratio <= 1.25 }
    })
}
