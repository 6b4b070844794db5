/** Messages as daemons write them: a result of many rows, in pages. */

const column = (name, type, precision, scale) => ({
  name,
  type,
  display_size: precision + 2,
  label: name,
  precision,
  scale,
  autoIncrement: false,
  nullable: 1,
  readOnly: true,
  writeable: false
})

const columns = [
  column("ID", "BIGINT", 19, 0),
  column("QUANTITY", "INTEGER", 10, 0),
  column("AMOUNT", "DECIMAL", 31, 5),
  column("PRICE", "NUMERIC", 9, 2),
  column("NAME", "VARCHAR", 60, 0),
  column("DAY", "DATE", 10, 0)
]

const metadata = JSON.stringify({ column_count: columns.length, job: "330921/QUSER/QZDASOINIT", columns })

/** Gson writes these as escapes, so everyday English has some. */
const gson = (text) =>
  JSON.stringify(text).replace(/['<>&=]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)

const names = {
  plain: (i) => `Customer number ${i} of the north`,
  escaped: (i) => `Customer's "number" ${i} <north & south>`
}

const two = (n) => String(n).padStart(2, "0")

const row = (i, texts) =>
  `[${i * 90071992547},${i % 5000},${i * 7919}${String(i * 104729).padStart(12, "0")}.${String(i % 100000).padStart(5, "0")},` +
  `${i % 9999999}.${two(i % 100)},${gson(names[texts](i))},"20${two(i % 100)}-${two(1 + (i % 12))}-${two(1 + (i % 28))}"]`

/** `texts`: `plain` or `escaped`. Every message ends as a daemon's does. */
export const frames = (total, perPage, texts) =>
  Array.from({ length: total / perPage }, (_, page) => {
    const rows = Array.from({ length: perPage }, (_, i) => row(page * perPage + i + 1, texts))
    const head = page === 0 ? `"metadata":${metadata},` : ""
    const last = (page + 1) * perPage === total
    return `{"id":"s${page}",${head}"data":[${rows.join(",")}],"is_done":${last},"success":true,"execution_time":3}\n\n`
  })

export { columns }
