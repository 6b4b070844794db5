/** What lies where SQLite is to open something: it says little of that itself. */
import { realpathSync, statSync } from "node:fs"

/** The path that a name leads SQLite to (https://www.sqlite.org/uri.html): `file:path`, `file:///path?mode=rw`. */
const pathOf = (name: string): string => {
  if (!name.startsWith("file:")) {
    return name
  }
  const escaped = name
    .slice(5)
    .replace(/^\/\/[^/?#]*/, "")
    .replace(/[?#].*$/s, "")
  // Escapes are bytes of UTF-8.
  const bytes = Buffer.from(escaped, "utf8").toString("latin1")
  const unescaped = bytes.replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  const path = Buffer.from(unescaped, "latin1").toString("utf8")
  return process.platform === "win32" ? path.replace(/^\/(?=[a-z]:)/i, "") : path
}

const statOf = (path: string) => {
  try {
    return statSync(path, { bigint: true })
  } catch {
    return undefined
  }
}

/** Undefined where there is none, or SQLite shall say what is wrong with the path. */
export const fileAt = (name: string) => statOf(pathOf(name))

export const isDirectoryAt = (name: string): boolean => fileAt(name)?.isDirectory() === true

/** SQLite finds a database's companions beside the file that a link leads to. */
const resolved = (path: string): string => {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** Of a database and its companions one that is a FIFO: SQLite would wait in it until somebody opens the other end. */
export const fifoAt = (name: string): string | undefined => {
  if (name === "" || name === ":memory:") {
    return undefined
  }
  const path = resolved(pathOf(name))
  return ["", "-journal", "-wal", "-shm"].map((suffix) => path + suffix).find((file) => statOf(file)?.isFIFO() === true)
}
