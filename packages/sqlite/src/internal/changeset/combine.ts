/** Changesets turned round and put together, by the rules of SQLite's `sqlite3changeset_invert` and `_concat`. */
import { folded } from "../folded.js"
import { type Change, keyOf, MalformedChangeset, read, type Row, same, type Table, write } from "./format.js"

/** An update's key stays in its old record, whichever way it goes. */
const inverted = (change: Change): Change => {
  const { new: after, old: before, operation, table } = change
  if (table.patchset) {
    throw new MalformedChangeset("a patchset cannot be inverted: it does not tell the values before")
  }
  switch (operation) {
    case "insert":
      return { ...change, operation: "delete", old: after, new: [] }
    case "delete":
      return { ...change, operation: "insert", old: [], new: before }
    case "update":
      return {
        ...change,
        old: before.map((value, i) => (table.key[i]! > 0 ? value : after[i])),
        new: before.map((value, i) => (table.key[i]! > 0 ? undefined : value))
      }
  }
}

/** Throws `MalformedChangeset`. */
export const invert = (bytes: Uint8Array): Uint8Array =>
  write(
    (function* () {
      for (const change of read(bytes)) {
        yield inverted(change)
      }
    })()
  )

const over = (above: Row, below: Row): Row => below.map((value, i) => above[i] ?? (above[i] === null ? null : value))

/** An update to these values; undefined when it would change nothing. */
const update = (change: Change, old: Row, after: Row): Change | undefined => {
  const { key, patchset } = change.table
  const changed = key.map((place, i) => place === 0 && after[i] !== undefined && (patchset || !same(old[i], after[i])))
  return changed.includes(true)
    ? {
        ...change,
        operation: "update",
        old: old.map((value, i) => (key[i]! > 0 || (changed[i] && !patchset) ? value : undefined)),
        new: after.map((value, i) => (changed[i] ? value : undefined))
      }
    : undefined
}

/** What two changes of one row come to; undefined: nothing. Pairs that cannot follow each other: the first stays. */
const merged = (first: Change, second: Change): Change | undefined => {
  const change = { ...first, indirect: first.indirect && second.indirect }
  switch (`${first.operation} ${second.operation}`) {
    case "insert update":
      return { ...change, new: over(second.new, first.new) }
    case "insert delete":
      return undefined
    case "update update":
      return update(change, over(first.old, second.old), over(second.new, first.new))
    case "update delete":
      return { ...change, operation: "delete", old: over(first.old, second.old), new: [] }
    case "delete insert":
      return update(change, first.old, second.new)
    default:
      return first
  }
}

interface Group {
  readonly table: Table
  readonly rows: Map<string, Change>
}

/** Throws `MalformedChangeset`. */
export const concat = (parts: Iterable<Uint8Array>): Uint8Array => {
  const groups = new Map<string, Group>()
  for (const part of parts) {
    for (const change of read(part)) {
      const { table } = change
      const name = folded(table.name)
      const group: Group = groups.get(name) ?? { table, rows: new Map() }
      groups.set(name, group)
      if (group.table.patchset !== table.patchset) {
        throw new MalformedChangeset("changesets and patchsets cannot be put together")
      }
      if (group.table.key.length !== table.key.length || group.table.key.some((place, i) => place !== table.key[i])) {
        throw new MalformedChangeset("two of them do not agree on the columns of a table")
      }
      const key = keyOf(change.operation === "insert" ? change.new : change.old, table.key)
      const before = group.rows.get(key)
      const after = before === undefined ? { ...change, table: group.table } : merged(before, change)
      if (after === undefined) {
        group.rows.delete(key)
      } else {
        group.rows.set(key, after)
      }
    }
  }
  return write([...groups.values()].flatMap(({ rows }) => [...rows.values()]))
}
